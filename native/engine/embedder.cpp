#include "engine/embedder.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "base/error.h"
#include "engine/context.h"

namespace sotto {
namespace {

constexpr int kMaxInputs = 64;  // sequences in one batch

void Normalize(float* row, int columns) {
  double sum = 0;
  for (int i = 0; i < columns; ++i) sum += double(row[i]) * row[i];
  if (sum <= 0) return;
  const float scale = float(1 / std::sqrt(sum));
  for (int i = 0; i < columns; ++i) row[i] *= scale;
}

llama_context_ptr MakeContext(const Model& model, const Embedder::Options& options, enum llama_pooling_type pooling) {
  llama_context_params params = llama_context_default_params();
  const int32_t train = model.info().context_train;
  params.n_batch = uint32_t(train > 0 ? std::min(options.batch_size, train) : options.batch_size);
  params.n_ctx = params.n_ubatch = params.n_batch;
  params.n_seq_max = kMaxInputs;
  params.n_outputs_max = std::max(params.n_batch, params.n_seq_max);  // fewer than n_seq_max and upstream asserts
  params.kv_unified = true;
  params.embeddings = true;
  params.pooling_type = pooling;
  params.abort_callback = options.abort;
  params.abort_callback_data = options.abort_data;
  params.no_perf = true;
  return OpenContext(model, params, "Could not make a context for embeddings");
}

}  // namespace

Embedder::Embedder(ModelPtr model, const Options& options) : model_(std::move(model)) {
  context_ = MakeContext(*model_, options, static_cast<enum llama_pooling_type>(options.pooling));
  if (llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_NONE && options.pooling < 0) {
    // A model that names no pooling is a text generator; the mean over its last layer is what its users expect.
    context_.reset();
    context_ = MakeContext(*model_, options, LLAMA_POOLING_TYPE_MEAN);
  }
  if (llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_NONE) {
    throw Error(ErrorCode::kEmbeddingUnsupported,
                "Expected pooling to be mean, cls, last or rank, received none: it gives a vector a token, not a text");
  }
  ranks_ = llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_RANK;
  columns_ = ranks_ ? int32_t(llama_model_n_cls_out(model_->get())) : llama_model_n_embd_out(model_->get());
  batch_ = std::make_unique<BatchPtr>(int(llama_n_batch(context_.get())));
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

void Embedder::Add(std::unique_ptr<Request> request) {
  Job job;
  job.request = std::move(request);
  job.admitted = Clock::now();
  jobs_.push_back(std::move(job));
}

bool Embedder::Cancelled() const { return !jobs_.empty() && jobs_.front().request->control->cancelled; }

bool Embedder::Check(const Request& request, std::vector<Event>& out) const {
  if (*request.embedding == EmbeddingTask::kRerank && !ranks_) {
    out.push_back(
        Event::Failed(request.id, ErrorCode::kRerankUnsupported,
                      "Expected a reranking model (pooling type rank), received " + model_->info().description));
    return false;
  }
  if (*request.embedding == EmbeddingTask::kEmbed && ranks_) {
    out.push_back(Event::Failed(request.id, ErrorCode::kEmbeddingUnsupported,
                                "This model ranks documents and gives no embeddings: call rerank instead"));
    return false;
  }
  const size_t most = size_t(batch_->capacity());
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    if (request.inputs[i].size() <= most || request.truncate) continue;
    out.push_back(Event::Failed(request.id, ErrorCode::kPromptTooLong,
                                "Input " + std::to_string(i) + " has " + std::to_string(request.inputs[i].size()) +
                                    " tokens, the context for embeddings holds " + std::to_string(most) +
                                    ": split the text or set truncate"));
    return false;
  }
  return true;
}

void Embedder::Step(std::vector<Event>& out) {
  struct Row {
    Job* job;
    size_t input;
  };
  std::vector<Row> rows;
  batch_->Clear();
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (job->request->control->cancelled) {
      Finish(*job, FinishReason::kAbort, out);
      job = jobs_.erase(job);
      continue;
    }
    if (job->next == 0 && !Check(*job->request, out)) {
      job = jobs_.erase(job);
      continue;
    }
    if (job->next == 0) job->vectors.resize(job->request->inputs.size() * size_t(columns_));
    while (job->next < job->request->inputs.size() && int(rows.size()) < kMaxInputs) {
      const auto& tokens = job->request->inputs[job->next];
      const int length = int(std::min(tokens.size(), size_t(batch_->capacity())));
      if (batch_->size() + length > batch_->capacity()) break;
      for (int i = 0; i < length; ++i) batch_->Add(tokens[i], i, int(rows.size()), true);
      job->tokens += length;
      rows.push_back({&*job, job->next++});
    }
    if (job->next < job->request->inputs.size()) break;  // the batch is full
    ++job;
  }
  if (rows.empty()) return;

  // Inputs do not outlive their batch; clearing the metadata is enough, since every cell is written before it is read.
  if (llama_memory_t memory = llama_get_memory(context_.get())) llama_memory_clear(memory, false);
  int32_t status = -3;
  try {
    status = llama_decode(context_.get(), batch_->get());
  } catch (const std::exception&) {
    // Upstream throws out of decode when it cannot grow a buffer; the status says enough.
  }
  if (status == 2) {
    for (const Row& row : rows) {  // aborted: whoever was not cancelled goes again
      row.job->tokens -= int32_t(std::min(row.job->request->inputs[row.input].size(), size_t(batch_->capacity())));
      row.job->next = std::min(row.job->next, row.input);
    }
    return;
  }
  for (const Row& row : rows) {
    const float* vector =
        status == 0 ? llama_get_embeddings_seq(context_.get(), llama_seq_id(&row - rows.data())) : nullptr;
    if (!vector) {
      FailAll(ErrorCode::kDecodeFailed, "The embedding batch failed with status " + std::to_string(status), out);
      return;
    }
    float* target = row.job->vectors.data() + row.input * size_t(columns_);
    std::copy_n(vector, columns_, target);
    if (row.job->request->normalize && !ranks_) Normalize(target, columns_);
    ++row.job->done;
  }
  while (!jobs_.empty() && jobs_.front().done == jobs_.front().request->inputs.size()) {
    Finish(jobs_.front(), FinishReason::kStop, out);
    jobs_.pop_front();
  }
}

void Embedder::Finish(Job& job, FinishReason reason, std::vector<Event>& out) {
  const auto now = Clock::now();
  if (reason == FinishReason::kStop) {
    Event event;
    event.id = job.request->id;
    event.kind = Event::Kind::kVectors;
    event.vectors = std::move(job.vectors);
    event.columns = columns_;
    out.push_back(std::move(event));
  }
  Result result;
  result.finish_reason = reason;
  result.queue_ms = MillisecondsBetween(job.request->submitted, job.admitted);
  result.prompt_ms = MillisecondsBetween(job.admitted, now);
  result.total_ms = MillisecondsBetween(job.request->submitted, now);
  result.tokens_prompt = job.tokens;
  out.push_back(Event::Done(job.request->id, std::move(result)));
}

void Embedder::FailAll(ErrorCode code, const std::string& message, std::vector<Event>& out) {
  for (Job& job : jobs_) out.push_back(Event::Failed(job.request->id, code, message));
  jobs_.clear();
}

}  // namespace sotto
