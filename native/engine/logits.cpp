#include "engine/logits.h"

#include <array>
#include <bit>
#include <cmath>

namespace sotto {
namespace {

constexpr int32_t kLanes = 16, kBlock = 512;

// e^x for x ≤ 0, to a ten-millionth, in operations that compilers make vectors of; they cannot of std::exp. 0 below −87.
inline float Exp(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves no room for a fraction
  const float clamped = x > -87.0f ? x : -87.0f;
  const float shifted = clamped * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;  // less n ln 2, in two parts
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const float power = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u);
  return x > -87.0f ? y * power : 0.0f;
}

double SumOf(const std::array<float, kLanes>& lanes) {
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

// One pass in blocks: sixteen independent maxima keep the processor busy without reassociating anything, and only the block that holds
// the largest is looked through again.
int32_t LargestOf(const float* logits, int32_t count) {
  float best = kNever;
  int32_t best_block = -1;
  for (int32_t block = 0; block < count; block += kBlock) {
    const int32_t end = std::min(block + kBlock, count);
    std::array<float, kLanes> lanes;
    lanes.fill(kNever);
    int32_t i = block;
    for (; i + kLanes <= end; i += kLanes) {
      for (int32_t lane = 0; lane < kLanes; ++lane) {
        lanes[size_t(lane)] = logits[i + lane] > lanes[size_t(lane)] ? logits[i + lane] : lanes[size_t(lane)];
      }
    }
    for (; i < end; ++i) lanes[0] = logits[i] > lanes[0] ? logits[i] : lanes[0];
    const float largest = *std::max_element(lanes.begin(), lanes.end());
    if (largest > best) {
      best = largest;
      best_block = block;
    }
  }
  if (best_block < 0) return -1;
  int32_t index = best_block;
  while (logits[index] != best) ++index;
  return index;
}

// Blocks of floats, whose sums are doubles: exact enough for the differences of nearly equal models.
double LogSumExp(const float* logits, int32_t count, float largest) {
  double sum = 0;
  for (int32_t block = 0; block < count; block += kBlock) {
    const int32_t end = std::min(block + kBlock, count);
    std::array<float, kLanes> lanes{};
    int32_t i = block;
    for (; i + kLanes <= end; i += kLanes) {
      for (int32_t lane = 0; lane < kLanes; ++lane) lanes[size_t(lane)] += Exp(logits[i + lane] - largest);
    }
    for (; i < end; ++i) lanes[0] += Exp(logits[i] - largest);
    sum += SumOf(lanes);
  }
  return largest + std::log(sum);
}

Divergence DivergenceOf(const RowPair& rows, int32_t count) {
  double sum_p = 0, sum_q = 0, weighted = 0;
  for (int32_t block = 0; block < count; block += kBlock) {
    const int32_t end = std::min(block + kBlock, count);
    std::array<float, kLanes> p{}, q{}, difference{};
    const auto add = [&](int32_t i, int32_t lane) {
      const float to_p = rows.p[i] - rows.largest_p, to_q = rows.q[i] - rows.largest_q;
      const float e = Exp(to_p);
      p[size_t(lane)] += e;
      q[size_t(lane)] += Exp(to_q);
      difference[size_t(lane)] += e > 0 ? e * (to_p - to_q) : 0;  // of two impossible tokens there is none
    };
    int32_t i = block;
    for (; i + kLanes <= end; i += kLanes) {
      for (int32_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
    }
    for (; i < end; ++i) add(i, 0);
    sum_p += SumOf(p);
    sum_q += SumOf(q);
    weighted += SumOf(difference);
  }
  const double log_p = std::log(sum_p), log_q = std::log(sum_q);
  return {rows.largest_p + log_p, rows.largest_q + log_q, weighted / sum_p - log_p + log_q};
}

}  // namespace sotto
