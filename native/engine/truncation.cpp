#include "engine/truncation.h"

#include <cmath>
#include <functional>

namespace sotto {
namespace {

// Without a branch, so that compilers make vectors of it. NaN is above nothing.
bool AnyAbove(float floor, const float* logits, int32_t count) {
  int32_t any = 0;
  for (int32_t i = 0; i < count; ++i) any |= logits[i] > floor;
  return any != 0;
}

}  // namespace

Truncation Truncation::ToMostLikely(int32_t k) {
  Truncation truncation;
  truncation.most_ = size_t(k);
  return truncation;
}

Truncation Truncation::ToShareOfLargest(float probability) {
  Truncation truncation;
  truncation.log_share_ = std::log(probability);
  return truncation;
}

void Truncation::Apply(const float* logits, int32_t count, const std::map<llama_token, int32_t>& pinned,
                       std::vector<llama_token_data>& kept) {
  constexpr int32_t kBlock = 64;  // small, since each rise of the floor has one looked through
  kept.clear();
  floor_ = largest_ = kNever;
  most_likely_.clear();
  auto pin = pinned.begin();
  for (int32_t block = 0; block < count; block += kBlock) {
    const int32_t end = std::min(block + kBlock, count);
    const bool pins = pin != pinned.end() && pin->first < end;
    if (!pins && !AnyAbove(floor_, logits + block, end - block)) continue;
    for (int32_t i = block; i < end; ++i) {
      if (pins && pin != pinned.end() && pin->first == i) {
        ++pin;
        if (logits[i] > kNever) kept.push_back({i, Tame(logits[i]), 0});
      } else if (logits[i] > floor_) {
        kept.push_back({i, Tame(logits[i]), 0});
        Raise(kept.back().logit);
      }
    }
  }
}

void Truncation::Raise(float logit) {
  if (most_ > 0) {
    // Every now and then, which costs less than a heap and lets in few more.
    most_likely_.push_back(logit);
    if (most_likely_.size() < 2 * most_) return;
    const auto last = most_likely_.begin() + ptrdiff_t(most_ - 1);
    std::nth_element(most_likely_.begin(), last, most_likely_.end(), std::greater<>());
    floor_ = *last;
    most_likely_.resize(most_);
  } else if (log_share_ > kNever && logit > largest_) {
    largest_ = logit;
    // Upstream's threshold and arithmetic; it keeps what is equal.
    const float floor = std::nextafter(largest_ + log_share_, kNever);
    floor_ = floor < -kLargestLogit ? kNever : floor;  // taming raises what is below
  }
}

}  // namespace sotto
