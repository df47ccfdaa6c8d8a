#include "engine/ngram-index.h"

#include <algorithm>

namespace sotto {
namespace {

constexpr int kPair = 2;         // tokens that make a place worth looking at
constexpr int kMostPlaces = 16;  // of a chain
constexpr int kMostCompared = 64;
constexpr size_t kLeastSlots = 256;

}  // namespace

// Of the pair that ends at `position`. The slots are a power of two.
size_t NgramIndex::Slot(size_t position) const {
  const uint64_t pair = uint64_t(uint32_t(tokens_[position - 1])) << 32 | uint32_t(tokens_[position]);
  return size_t((pair * 0x9E3779B97F4A7C15u) >> 32) & (latest_.size() - 1);
}

void NgramIndex::Insert(size_t position) {
  int32_t& latest = latest_[Slot(position)];
  previous_[position] = latest;
  latest = int32_t(position);
}

void NgramIndex::Append(int32_t token) {
  if (from_ >= 0 && tokens_[size_t(from_)] == token) {
    ++from_;
    ++length_;
  } else {
    from_ = -1;
    length_ = 0;
  }
  searched_ = false;
  tokens_.push_back(token);
  previous_.push_back(-1);
  if (tokens_.size() > latest_.size()) {
    latest_.assign(std::max(kLeastSlots, 2 * latest_.size()), -1);
    for (size_t position = 1; position < tokens_.size(); ++position) Insert(position);
  } else if (tokens_.size() >= kPair) {
    Insert(tokens_.size() - 1);
  }
}

int NgramIndex::Match() {
  if (from_ >= 0 || searched_) return length_;
  searched_ = true;
  int place = previous_.empty() ? -1 : previous_.back();
  for (int looked = 0; place >= 0 && looked < kMostPlaces; ++looked, place = previous_[size_t(place)]) {
    const int common = CommonEnd(place, size() - 1);
    if (common < kPair || common <= length_) continue;  // another pair of the same hash; or no longer than a later one
    length_ = common;
    from_ = place + 1;
  }
  return length_;
}

int NgramIndex::CommonEnd(int a, int b) const {
  int common = 0;
  while (common < kMostCompared && common <= a && tokens_[size_t(a - common)] == tokens_[size_t(b - common)]) ++common;
  return common;
}

int32_t NgramIndex::Proposal(int ahead) const {
  const int place = from_ + ahead % (size() - from_);
  return tokens_[size_t(place)];
}

}  // namespace sotto
