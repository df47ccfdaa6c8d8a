#include "engine/truncation.h"

#include <cmath>
#include <functional>

namespace sotto {

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
  constexpr int32_t kBlock = 64;  // a few hundred are looked through, some at each rise of the floor
  kept.clear();
  floor_ = largest_ = kNever;
  most_likely_.clear();
  auto pin = pinned.begin();
  for (int32_t block = 0; block < count; block += kBlock) {
    const int32_t end = std::min(block + kBlock, count);
    const bool pins = pin != pinned.end() && pin->first < end;
    if (!pins && !(Tame(MaximumOf(logits + block, end - block)) > floor_)) continue;
    for (int32_t i = block; i < end; ++i) {
      const bool stays = pins && pin != pinned.end() && pin->first == i;
      if (stays) ++pin;
      const float logit = Tame(logits[i]);
      if (logit == kNever || !(stays || logit > floor_)) continue;
      kept.push_back({i, logit, 0});
      if (!stays) Raise(logit);
    }
  }
}

void Truncation::Raise(float logit) {
  if (most_ > 0) {
    if (most_likely_.size() == most_) {
      std::pop_heap(most_likely_.begin(), most_likely_.end(), std::greater<>());
      most_likely_.back() = logit;
    } else {
      most_likely_.push_back(logit);
    }
    std::push_heap(most_likely_.begin(), most_likely_.end(), std::greater<>());
    if (most_likely_.size() == most_) floor_ = most_likely_.front();
  } else if (log_share_ > kNever && logit > largest_) {
    largest_ = logit;
    // Upstream's threshold and arithmetic; it keeps what is equal.
    floor_ = std::nextafter(largest_ + log_share_, kNever);
  }
}

}  // namespace sotto
