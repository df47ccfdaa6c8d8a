#include "engine/scheduler.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "engine/context.h"
#include "engine/scheduler-loop.h"

namespace sotto {
namespace {

uint64_t KvBytes(const ModelInfo& info, const SchedulerOptions& options, int32_t context_size) {
  if (info.heads <= 0 || info.recurrent) return 0;
  const auto row = [&](const char* length, ggml_type type) {
    const std::string key = info.architecture + ".attention." + length;
    int64_t elements = info.embedding_length / info.heads;  // of a head, where the model does not say
    for (const auto& [name, value] : info.metadata) {
      if (name == key) elements = std::strtoll(value.c_str(), nullptr, 10);
    }
    return ggml_row_size(type, elements * info.heads_kv);
  };
  return uint64_t(info.layers) * uint64_t(context_size) *
         (row("key_length", options.type_k) + row("value_length", options.type_v));
}

// A guess until the first token says: most of a layer's matrices are packed or floats, and nothing else of it is large.
bool HasOurMatrices(const ModelInfo& info) {
  const std::string& type = info.quantisation;
  const bool floats = info.kernels.name != "off" && (type == "F16" || type == "BF16" || type == "all F32");
  return (floats || info.kernels.tensors.size() >= size_t(4) * info.layers) && !info.recurrent && !info.hybrid;
}

}  // namespace

Scheduler::Loop::Loop(ModelPtr model, const SchedulerOptions& options, EventSink sink, ModelPtr draft)
    : model_(std::move(model)),
      options_(options),
      sink_(std::move(sink)),
      planner_(options.batch_size),
      shareable_(HasOurMatrices(model_->info())) {
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
    cache_->on_evict = [this](ContextId context, int id) { Park(context, id); };
    info_.context_size = int32_t(llama_n_ctx(context_.get()));
    info_.batch_size = int32_t(llama_n_batch(context_.get()));
    info_.kv_bytes = KvBytes(model_->info(), options_, info_.context_size);
    info_.can_shift = partial && llama_memory_can_shift(memory);
    // Tokens that were not said must be forgotten again; and a position must be one number.
    const llama_rope_type rope = llama_model_rope_type(model_->get());
    info_.can_speculate =
        partial && rope != LLAMA_ROPE_TYPE_MROPE && rope != LLAMA_ROPE_TYPE_IMROPE && rope != LLAMA_ROPE_TYPE_VISION;
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
  if (draft) {
    if (!info_.can_speculate) {
      throw Error(
          ErrorCode::kDraftInvalid,
          "Expected a model that can take tokens back when a draft is given, received " + model_->info().description);
    }
    draft_ = std::make_unique<DraftModel>(std::move(draft), *model_, options_, info_.context_size, AbortCallback, this);
  }
  speculates_ = info_.can_speculate;
  AttachPool(options_.threads);
  thread_ = std::thread([this] { Run(); });
}

void Scheduler::Loop::Submit(std::unique_ptr<Request> request) {
  const RequestId id = request->id;
  if (mailbox_.Put(std::move(request))) return;
  std::vector<Event> events;
  events.push_back(Event::Failed(id, ErrorCode::kModelClosed, "The model is closed"));
  sink_(std::move(events));
}

double Scheduler::Loop::Measure(int threads, int tokens) {
  auto command = std::make_unique<MeasureCommand>(MeasureCommand{threads, tokens, {}});
  std::future<double> milliseconds = command->milliseconds.get_future();
  if (!mailbox_.Put(std::move(command))) return -1;
  try {
    return milliseconds.get();
  } catch (const std::future_error&) {
    return -1;  // closed before its turn came
  }
}

ContextStatePtr Scheduler::Loop::SaveContext(ContextId context, bool evict, bool wipe) {
  auto command = std::make_unique<SaveCommand>(SaveCommand{context, evict, wipe, {}});
  std::future<ContextStatePtr> state = command->state.get_future();
  if (!mailbox_.Put(std::move(command))) return nullptr;
  try {
    return state.get();
  } catch (const std::future_error&) {
    return nullptr;  // closed before its turn came
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

std::unique_ptr<Scheduler> Scheduler::Create(ModelPtr model, const SchedulerOptions& options, EventSink sink,
                                             ModelPtr draft) {
  return std::unique_ptr<Scheduler>(
      new Scheduler(std::make_unique<Loop>(std::move(model), options, std::move(sink), std::move(draft))));
}

void Scheduler::Submit(std::unique_ptr<Request> request) { loop_->Submit(std::move(request)); }
void Scheduler::Wake() { loop_->Wake(); }
void Scheduler::SetThreads(const ThreadOptions& options) { loop_->SetThreads(options); }
double Scheduler::Measure(int threads, int tokens) { return loop_->Measure(threads, tokens); }
const SchedulerInfo& Scheduler::info() const { return loop_->info(); }
void Scheduler::Unpin(RequestId id) { loop_->Unpin(id); }
void Scheduler::ExpectContext(ContextId context, bool expected) { loop_->ExpectContext(context, expected); }
void Scheduler::DropContext(ContextId context, bool wipe) { loop_->DropContext(context, wipe); }
ContextStatePtr Scheduler::SaveContext(ContextId context, bool evict, bool wipe) {
  return loop_->SaveContext(context, evict, wipe);
}
void Scheduler::RestoreContext(ContextId context, std::string principal, ContextStatePtr state) {
  loop_->RestoreContext(context, std::move(principal), std::move(state));
}
void Scheduler::Close() { loop_->Close(); }

}  // namespace sotto
