// logits.h: a row of logits as the model wrote it: what counts as a number in it, and which is the largest.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sotto {

// The logit of what cannot be chosen.
inline constexpr float kNever = -std::numeric_limits<float>::infinity();

inline constexpr float kLargestLogit = 1e8f;

// No NaN and no infinity reaches a sampler: upstream sorts by probability, and a sort that meets some NaN may leave its array;
// and it sorts into buckets of a width of 0.16, whose number has to fit an int.
inline float Tame(float logit) {
  if (!(logit > kNever)) return kNever;
  return std::clamp(logit, -kLargestLogit, kLargestLogit);
}

// Index of the largest of `count` logits, the first of equals; -1 when none is above -infinity (NaN never is).
int32_t LargestOf(const float* logits, int32_t count);

// The logarithm of the sum of all exponentials: a logit less this is a log-probability. `largest` is the largest of them.
double LogSumExp(const float* logits, int32_t count, float largest);

// Two rows about one position, `p` and `q`, each with its largest.
struct RowPair {
  const float *p, *q;
  float largest_p, largest_q;
};
struct Divergence {
  double log_sum_p, log_sum_q;
  double kl;  // of q from p, KL(p || q), in nats
};
Divergence DivergenceOf(const RowPair& rows, int32_t count);

}  // namespace sotto
