#include "engine/text-reader.h"

#include <algorithm>

#include "base/error.h"
#include "engine/context.h"
#include "engine/tokenizer.h"

namespace sotto {
namespace {

// Rows of a step: whoever else computes on the pool waits for one. Fewer of a large model, but as many as keep the processor busy.
// A fixed number for a model, so that a measurement repeats.
int32_t RowsOf(const Model& model) {
  constexpr double kWork = 32e9;  // parameters times rows
  return std::clamp(int32_t(kWork / double(std::max<uint64_t>(1, model.info().parameters))), 16, 128);
}

[[noreturn]] void Aborted() { throw Error(ErrorCode::kAborted, "The measurement was aborted"); }

}  // namespace

TextWindows::TextWindows(const Model& model, const std::string& text, const TextOptions& options)
    : tokens_(Tokenize(model.vocab(), text, true, false)),
      size_(options.context_size),
      count_(int32_t(tokens_.size() / size_t(size_))),
      begin_(llama_vocab_get_add_bos(model.vocab()) ? llama_vocab_bos(model.vocab()) : LLAMA_TOKEN_NULL) {
  if (count_ < 2) {
    throw Error(ErrorCode::kTextTooShort, "Expected a text of at least " + std::to_string(2 * size_) +
                                              " tokens, twice the contextSize, received " +
                                              std::to_string(tokens_.size()));
  }
  if (options.chunks > 0) count_ = std::min(count_, options.chunks);
}

std::vector<llama_token> TextWindows::At(int32_t window) const {
  const auto start = tokens_.begin() + std::ptrdiff_t(window) * size_;
  std::vector<llama_token> found(start, start + size_);
  if (begin_ != LLAMA_TOKEN_NULL) found[0] = begin_;
  return found;
}

TextReader::TextReader(ModelPtr model, const TextOptions& options, const std::function<bool()>& stop, Watcher watch,
                       void* watch_data)
    : model_(std::move(model)),
      stop_(stop),
      threads_(options.threads.prompt),
      pool_(ThreadPool::Acquire(options.threads)),
      context_(Open(options, watch, watch_data)),
      batch_(RowsOf(*model_)) {
  const ModelInfo& info = model_->info();
  if (info.has_encoder || !info.has_decoder || !llama_get_memory(context_.get())) {
    throw Error(ErrorCode::kModelUnsupported, "Expected a model that generates, received " + info.description);
  }
  std::vector<llama_adapter_lora*> adapters;
  std::vector<float> scales;
  for (const auto& [adapter, scale] : model_->adapters()) {
    adapters.push_back(adapter);
    scales.push_back(scale);
  }
  if (!adapters.empty()) llama_set_adapters_lora(context_.get(), adapters.data(), adapters.size(), scales.data());
}

void TextReader::Read(const std::vector<llama_token>& window, int32_t begin, int32_t end, bool outputs) {
  batch_.Clear();
  for (int32_t i = begin; i < end; ++i) batch_.Add(window[size_t(i)], i, 0, outputs);
  const auto turn = pool_->Turn(stop_);
  if (!turn) Aborted();
  KernelUse kernels(model_->info().upstream_kernels, "");
  Compute(kernels);
  const int32_t status = llama_decode(context_.get(), batch_.get());
  if (stop_()) Aborted();
  if (status != 0) {
    throw Error(ErrorCode::kDecodeFailed, "The compute backend failed with status " + std::to_string(status));
  }
  llama_synchronize(context_.get());
  // Of many rows, ggml's own operations are large too, but few beside the products.
  if (batch_.size() == 1) shareable_ = !kernels.Foreign();
  if (model_->damaged()) throw Error(ErrorCode::kModelChanged, model_->DamageMessage());
}

const float* TextReader::logits(int32_t row) const {
  const float* found = llama_get_logits_ith(context_.get(), row);
  if (!found) throw Error(ErrorCode::kDecodeFailed, "The model gave no logits");
  return found;
}

// By a crew, which does not mind other programs, where a single row has nothing that only ggml's pool shares.
void TextReader::Compute(KernelUse& kernels) {
  Crew* crew = shareable_ ? pool_->crew(threads_) : nullptr;
  if (!kernels.Share(crew)) crew = nullptr;
  kernels.Foreign();  // of graphs before
  const int own = crew ? 1 : threads_;
  llama_set_n_threads(context_.get(), own, own);
  llama_attach_threadpool(context_.get(), pool_->get(own), pool_->get(own));
}

llama_context_ptr TextReader::Open(const TextOptions& options, Watcher watch, void* watch_data) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = uint32_t(options.context_size);
  params.n_batch = params.n_ubatch = uint32_t(RowsOf(*model_));
  params.n_outputs_max = params.n_batch;
  params.n_seq_max = 1;
  params.n_threads = params.n_threads_batch = threads_;
  params.swa_full = true;
  params.abort_callback = [](void* self) { return static_cast<TextReader*>(self)->stop_(); };
  params.abort_callback_data = this;
  params.cb_eval = watch;
  params.cb_eval_user_data = watch_data;
  params.no_perf = true;
  return OpenContext(*model_, params, "Could not make a context of " + std::to_string(params.n_ctx) + " tokens");
}

}  // namespace sotto
