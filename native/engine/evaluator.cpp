#include "engine/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "engine/logits.h"

namespace sotto {
namespace {

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

Evaluation Evaluate(const ModelPtr& model, const ModelPtr& other, const std::string& text, const TextOptions& options,
                    const std::function<bool()>& stop, const std::function<void(float)>& report) {
  if (other) CheckVocabularies(*model, *other);
  const LogCapture log;  // upstream reports an aborted graph as an error
  const TextWindows windows(*model, text, options);
  Evaluation result;
  result.tokens = windows.tokens();
  result.chunks = windows.count();

  TextReader reader(model, options, stop);
  std::unique_ptr<TextReader> second = other ? std::make_unique<TextReader>(other, options, stop) : nullptr;
  const int32_t step = second ? std::min(reader.rows(), second->rows()) : reader.rows();
  const int32_t count = llama_vocab_n_tokens(model->vocab());
  const int32_t size = options.context_size;
  const int32_t first = size / 2;  // the position before the first that is scored
  Scores scores;
  for (int32_t chunk = 0; chunk < result.chunks; ++chunk) {
    const std::vector<llama_token> window = windows.At(chunk);
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
