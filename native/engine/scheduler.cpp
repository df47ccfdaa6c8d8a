#include "engine/scheduler.h"

#include <algorithm>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "engine/scheduler-loop.h"

namespace sotto {
namespace {

constexpr int kDefaultContext = 4096;

llama_context_ptr MakeContext(const Model& model, const SchedulerOptions& options, ggml_abort_callback abort,
                              void* abort_data) {
  const int32_t train = model.info().context_train;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = uint32_t(options.context_size > 0 ? options.context_size
                          : train > 0              ? std::min(train, kDefaultContext)
                                                   : kDefaultContext);
  params.n_batch = uint32_t(std::min<int32_t>(options.batch_size, int32_t(params.n_ctx)));
  params.n_ubatch = params.n_batch;  // one graph a step: an abort then never leaves half a batch behind
  params.n_seq_max = uint32_t(options.sequences + options.cached_sequences);
  // At least n_seq_max, or upstream asserts; by default a whole batch, which sets 100 MB aside for 49k-token
  // vocabularies.
  params.n_outputs_max = params.n_seq_max;
  params.n_threads = options.threads.generation;
  params.n_threads_batch = options.threads.prompt;
  params.flash_attn_type = static_cast<llama_flash_attn_type>(options.flash_attention);
  params.type_k = options.type_k;
  params.type_v = options.type_v;
  params.offload_kqv = options.offload_kv;
  params.kv_unified = true;  // sequences share cells; see PrefixCache
  params.swa_full = true;    // a sliding window forgets prefixes that another sequence may ask for
  params.abort_callback = abort;
  params.abort_callback_data = abort_data;
  params.no_perf = true;
  const LogCapture log;
  std::string reason;
  try {
    llama_context_ptr context(llama_init_from_model(model.get(), params));
    if (context) return context;
    reason = log.text();
  } catch (const std::exception& exception) {
    reason = exception.what();
  }
  throw Error(ErrorCode::kModelMemory, "Could not make a context of " + std::to_string(params.n_ctx) + " tokens" +
                                           (reason.empty() ? std::string() : ": " + reason) +
                                           ". Ask for a smaller contextSize");
}

uint64_t KvBytes(const ModelInfo& info, const SchedulerOptions& options, int32_t context_size) {
  if (info.heads <= 0 || info.recurrent) return 0;
  const uint64_t row = uint64_t(info.embedding_length) / uint64_t(info.heads) * uint64_t(info.heads_kv);
  return uint64_t(info.layers) * uint64_t(context_size) *
         (ggml_row_size(options.type_k, int64_t(row)) + ggml_row_size(options.type_v, int64_t(row)));
}

}  // namespace

Scheduler::Loop::Loop(ModelPtr model, const SchedulerOptions& options, EventSink sink)
    : model_(std::move(model)), options_(options), sink_(std::move(sink)), planner_(options.batch_size) {
  if (options_.sequences + options_.cached_sequences > RadixTree::kMaxHolders) {
    throw Error(ErrorCode::kOptionInvalid, "Expected maxSequences and cached sequences to be at most " +
                                               std::to_string(RadixTree::kMaxHolders) + " together, received " +
                                               std::to_string(options_.sequences + options_.cached_sequences));
  }
  // An encoder alone (BERT) has nothing to generate from; T5-like models need an encoder pass that this loop does not
  // do.
  if (model_->info().has_decoder && !model_->info().has_encoder) {
    context_ = MakeContext(*model_, options_, AbortCallback, this);
    if (!llama_get_memory(context_.get())) context_.reset();  // embedding models have no KV cache
  }
  info_.sequences = options_.sequences;
  if (context_) {
    llama_memory_t memory = llama_get_memory(context_.get());
    const bool partial = !model_->info().recurrent && !model_->info().hybrid;
    cache_ = std::make_unique<PrefixCache>(memory, options_.sequences + options_.cached_sequences, partial);
    info_.context_size = int32_t(llama_n_ctx(context_.get()));
    info_.batch_size = int32_t(llama_n_batch(context_.get()));
    info_.kv_bytes = KvBytes(model_->info(), options_, info_.context_size);
    info_.can_shift = partial && llama_memory_can_shift(memory);
    batch_ = std::make_unique<BatchPtr>(info_.batch_size);
    planner_ = StepPlanner(info_.batch_size);
    if (!model_->adapters().empty()) {
      std::vector<llama_adapter_lora*> adapters;
      std::vector<float> scales;
      for (const auto& [adapter, scale] : model_->adapters()) {
        adapters.push_back(adapter);
        scales.push_back(scale);
      }
      llama_set_adapters_lora(context_.get(), adapters.data(), adapters.size(), scales.data());
    }
  }
  AttachPool(options_.threads);
  thread_ = std::thread([this] { Run(); });
}

void Scheduler::Loop::Submit(std::unique_ptr<Request> request) {
  const RequestId id = request->id;
  if (mailbox_.Put({std::move(request), nullptr, nullptr})) return;
  std::vector<Event> events;
  events.push_back(Event::Failed(id, ErrorCode::kModelClosed, "The model is closed"));
  sink_(std::move(events));
}

void Scheduler::Loop::SetThreads(const ThreadOptions& options) {
  mailbox_.Put({nullptr, std::make_unique<ThreadOptions>(options), nullptr});
}

double Scheduler::Loop::Measure(int threads, int tokens) {
  auto command = std::make_unique<MeasureCommand>(MeasureCommand{threads, tokens, {}});
  std::future<double> milliseconds = command->milliseconds.get_future();
  if (!mailbox_.Put({nullptr, nullptr, std::move(command)})) return -1;
  try {
    return milliseconds.get();
  } catch (const std::future_error&) {
    return -1;  // closed before its turn came
  }
}

void Scheduler::Loop::Close() {
  std::call_once(closed_, [this] {
    closing_ = true;
    mailbox_.Close();
    if (thread_.joinable()) thread_.join();
  });
}

Scheduler::Scheduler(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Scheduler::~Scheduler() { Close(); }

std::unique_ptr<Scheduler> Scheduler::Create(ModelPtr model, const SchedulerOptions& options, EventSink sink) {
  return std::unique_ptr<Scheduler>(new Scheduler(std::make_unique<Loop>(std::move(model), options, std::move(sink))));
}

void Scheduler::Submit(std::unique_ptr<Request> request) { loop_->Submit(std::move(request)); }
void Scheduler::Wake() { loop_->Wake(); }
void Scheduler::SetThreads(const ThreadOptions& options) { loop_->SetThreads(options); }
double Scheduler::Measure(int threads, int tokens) { return loop_->Measure(threads, tokens); }
const SchedulerInfo& Scheduler::info() const { return loop_->info(); }
void Scheduler::Close() { loop_->Close(); }

}  // namespace sotto
