#include "engine/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "engine/context.h"
#include "engine/handles.h"
#include "engine/kernels.h"
#include "engine/logits.h"
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

// A model and a context that holds one window.
class Reader {
 public:
  Reader(ModelPtr model, const EvaluateOptions& options, const std::function<bool()>& stop)
      : model_(std::move(model)),
        stop_(stop),
        threads_(options.threads.prompt),
        pool_(ThreadPool::Acquire(options.threads)),
        context_(Open(options)),
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

  const llama_vocab* vocab() const { return model_->vocab(); }
  int32_t rows() const { return batch_.capacity(); }

  void Forget() { llama_memory_clear(llama_get_memory(context_.get()), true); }

  // Rows of a window from `begin` to `end`, at most rows() of them; with `outputs`, their logits can be had until the next.
  void Read(const std::vector<llama_token>& window, int32_t begin, int32_t end, bool outputs) {
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

  const float* logits(int32_t row) const {
    const float* found = llama_get_logits_ith(context_.get(), row);
    if (!found) throw Error(ErrorCode::kDecodeFailed, "The model gave no logits");
    return found;
  }

 private:
  // By a crew, which does not mind other programs, where a single row has nothing that only ggml's pool shares.
  void Compute(KernelUse& kernels) {
    Crew* crew = shareable_ ? pool_->crew(threads_) : nullptr;
    if (!kernels.Share(crew)) crew = nullptr;
    kernels.Foreign();  // of graphs before
    const int own = crew ? 1 : threads_;
    llama_set_n_threads(context_.get(), own, own);
    llama_attach_threadpool(context_.get(), pool_->get(own), pool_->get(own));
  }

  llama_context_ptr Open(const EvaluateOptions& options) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = uint32_t(options.context_size);
    params.n_batch = params.n_ubatch = uint32_t(RowsOf(*model_));
    params.n_outputs_max = params.n_batch;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = threads_;
    params.swa_full = true;
    params.abort_callback = [](void* self) { return static_cast<Reader*>(self)->stop_(); };
    params.abort_callback_data = this;
    params.no_perf = true;
    return OpenContext(*model_, params, "Could not make a context of " + std::to_string(params.n_ctx) + " tokens");
  }

  ModelPtr model_;  // outlives context_
  const std::function<bool()>& stop_;
  const int threads_;
  bool shareable_ = false;
  std::shared_ptr<ThreadPool> pool_;  // and so does this
  llama_context_ptr context_;
  BatchPtr batch_;
};

// Mean and variance of numbers that come one at a time.
class Mean {
 public:
  void Add(double value) {
    ++count_;
    sum_ += value;
    squares_ += value * value;
  }
  double value() const { return sum_ / double(count_); }
  double error() const {
    const double variance = squares_ / double(count_) - value() * value();
    return variance > 0 && count_ > 1 ? std::sqrt(variance / double(count_ - 1)) : 0;
  }
  Estimate estimate() const { return {value(), error()}; }
  // Of a mean logarithm.
  Estimate exponential() const { return {std::exp(value()), std::exp(value()) * error()}; }
  int64_t count() const { return count_; }

 private:
  int64_t count_ = 0;
  double sum_ = 0, squares_ = 0;
};

struct Scores {
  Mean loss, other_loss, difference, divergence, agreement;
  std::vector<float> divergences;
};

double Finite(double value) {
  if (std::isfinite(value)) return value;
  throw Error(ErrorCode::kDecodeFailed, "The model gave logits that are no numbers");
}

void Score(const float* logits, int32_t count, llama_token next, Scores& scores) {
  const int32_t best = LargestOf(logits, count);
  if (best < 0) Finite(NAN);
  scores.loss.Add(Finite(LogSumExp(logits, count, logits[best]) - logits[next]));
}

void Compare(const float* p, const float* q, int32_t count, llama_token next, Scores& scores) {
  const int32_t best_p = LargestOf(p, count), best_q = LargestOf(q, count);
  if (best_p < 0 || best_q < 0) Finite(NAN);
  const Divergence found = DivergenceOf({p, q, p[best_p], q[best_q]}, count);
  const double loss = Finite(found.log_sum_p - p[next]), other = Finite(found.log_sum_q - q[next]);
  scores.loss.Add(loss);
  scores.other_loss.Add(other);
  scores.difference.Add(other - loss);
  scores.divergence.Add(Finite(found.kl));
  scores.divergences.push_back(float(found.kl));
  scores.agreement.Add(best_p == best_q ? 1 : 0);
}

void CheckVocabularies(const Model& model, const Model& other) {
  const llama_vocab *a = model.vocab(), *b = other.vocab();
  const int32_t count = llama_vocab_n_tokens(a);
  bool same = count == llama_vocab_n_tokens(b) && llama_vocab_type(a) == llama_vocab_type(b) &&
              llama_vocab_bos(a) == llama_vocab_bos(b) && llama_vocab_get_add_bos(a) == llama_vocab_get_add_bos(b);
  for (llama_token token = 0; same && token < count; ++token) {
    same = std::strcmp(llama_vocab_get_text(a, token), llama_vocab_get_text(b, token)) == 0;
  }
  if (same) return;
  throw Error(ErrorCode::kVocabularyMismatch, "Expected two models of one vocabulary, received " +
                                                  model.info().description + " of " + std::to_string(count) +
                                                  " tokens and " + other.info().description + " of " +
                                                  std::to_string(llama_vocab_n_tokens(b)));
}

}  // namespace

Evaluation Evaluate(const ModelPtr& model, const ModelPtr& other, const std::string& text,
                    const EvaluateOptions& options, const std::function<bool()>& stop,
                    const std::function<void(float)>& report) {
  if (other) CheckVocabularies(*model, *other);
  const LogCapture log;  // upstream reports an aborted graph as an error
  const llama_vocab* vocab = model->vocab();
  const std::vector<llama_token> tokens = Tokenize(vocab, text, true, false);
  const int32_t size = options.context_size;
  Evaluation result;
  result.tokens = int64_t(tokens.size());
  result.chunks = int32_t(tokens.size() / size_t(size));
  if (result.chunks < 2) {
    throw Error(ErrorCode::kTextTooShort, "Expected a text of at least " + std::to_string(2 * size) +
                                              " tokens, twice the contextSize, received " +
                                              std::to_string(tokens.size()));
  }
  if (options.chunks > 0) result.chunks = std::min(result.chunks, options.chunks);

  Reader reader(model, options, stop);
  std::unique_ptr<Reader> second = other ? std::make_unique<Reader>(other, options, stop) : nullptr;
  const int32_t step = second ? std::min(reader.rows(), second->rows()) : reader.rows();
  const int32_t count = llama_vocab_n_tokens(vocab);
  const int32_t first = size / 2;  // the position before the first that is scored
  Scores scores;
  for (int32_t chunk = 0; chunk < result.chunks; ++chunk) {
    const auto start = tokens.begin() + std::ptrdiff_t(chunk) * size;
    std::vector<llama_token> window(start, start + size);
    if (llama_vocab_get_add_bos(vocab)) window[0] = llama_vocab_bos(vocab);
    reader.Forget();
    if (second) second->Forget();
    for (int32_t begin = 0; begin < size - 1;) {
      // The first of all is read alone, which says who can compute the others.
      const int32_t most = chunk == 0 && begin == 0 ? 1 : step;
      const int32_t end = std::min(begin + most, begin < first ? first : size - 1);
      const bool outputs = begin >= first;
      reader.Read(window, begin, end, outputs);
      if (second) second->Read(window, begin, end, outputs);
      for (int32_t i = begin; outputs && i < end; ++i) {
        const llama_token next = window[size_t(i) + 1];
        if (second) {
          Compare(reader.logits(i - begin), second->logits(i - begin), count, next, scores);
        } else {
          Score(reader.logits(i - begin), count, next, scores);
        }
      }
      begin = end;
      report((float(chunk) + float(end) / float(size - 1)) / float(result.chunks));
    }
  }

  result.scored = scores.loss.count();
  result.perplexity = scores.loss.exponential();
  if (!second) return result;
  result.other_perplexity = scores.other_loss.exponential();
  result.ratio = scores.difference.exponential();
  result.divergence = scores.divergence.estimate();
  result.agreement = scores.agreement.estimate();
  std::vector<float>& sorted = scores.divergences;
  std::sort(sorted.begin(), sorted.end());
  result.divergence_p99 = sorted[size_t(std::ceil(0.99 * double(sorted.size()))) - 1];
  result.divergence_max = sorted.back();
  return result;
}

}  // namespace sotto
