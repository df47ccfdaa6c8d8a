#include "engine/logits.h"

#include <array>

namespace sotto {

// Sixteen independent maxima keep the processor busy without reassociating anything.
float MaximumOf(const float* logits, int32_t count) {
  constexpr int32_t kLanes = 16;
  std::array<float, kLanes> lanes;
  lanes.fill(kNever);
  const auto larger = [](float a, float b) { return a > b ? a : b; };  // b where a is NaN
  int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = larger(logits[i + int32_t(lane)], lanes[lane]);
  }
  for (; i < count; ++i) lanes[0] = larger(logits[i], lanes[0]);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] = larger(lanes[lane + half], lanes[lane]);
  }
  return lanes[0];
}

// One pass in blocks: only the one that holds the largest is looked through again.
int32_t LargestOf(const float* logits, int32_t count) {
  constexpr int32_t kBlock = 512;
  float best = kNever;
  int32_t index = -1;
  for (int32_t block = 0; block < count; block += kBlock) {
    const float largest = MaximumOf(logits + block, std::min(kBlock, count - block));
    if (largest > best) {
      best = largest;
      index = block;
    }
  }
  if (index < 0) return -1;
  while (logits[index] != best) ++index;
  return index;
}

}  // namespace sotto
