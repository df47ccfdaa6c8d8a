#include "engine/logits.h"

#include <array>

namespace sotto {

// One pass in blocks: sixteen independent maxima keep the processor busy without reassociating anything, and only the block that holds
// the largest is looked through again.
int32_t LargestOf(const float* logits, int32_t count) {
  constexpr int32_t kLanes = 16, kBlock = 512;
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

}  // namespace sotto
