#include "engine/thread-governor.h"

#include <algorithm>

namespace sotto {
namespace {

constexpr int kWindow = 8;  // steps
// Spinning threads use all of their time. These used less: something else did.
constexpr double kStarved = 0.9;
constexpr double kSlow = 1.25;    // times the best
constexpr double kBetter = 0.95;  // what a trial must reach to stay
constexpr double kHopeless = 1.5;
// A trial that failed may cost a twentieth of the time until the next one.
constexpr double kWorth = 20;
constexpr double kLeastPause = 1000, kMostPause = 30000;  // ms

int Fewer(int count) { return std::max(1, count - std::max(1, count / 4)); }
int More(int count, int most) { return std::min(most, count + std::max(1, count / 3)); }

}  // namespace

void ThreadGovernor::Measured(int tokens, double ms, double cpu_ms) {
  if (most_ <= 1) return;
  if (tokens != tokens_) {
    // Steps of another size say nothing about the ones before; drafts come in between, other sequences stay.
    if (tokens_ > 0 && ++others_ < kWindow) return;
    tokens_ = tokens;
    trial_ = steps_ = 0;
    ms_ = cpu_ms_ = best_ms_ = 0;
  }
  others_ = 0;
  ++steps_;
  ms_ += ms;
  cpu_ms_ += cpu_ms;
  if (trial_ > 0) {
    if (ms_ > kHopeless * usual_ms_ * std::max(2, steps_)) {
      EndTrial(false);
    } else if (steps_ == kWindow) {
      EndTrial(ms_ < kBetter * usual_ms_ * kWindow);
    }
    return;
  }
  if (steps_ < kWindow) return;
  usual_ms_ = ms_ / kWindow;
  // Steps grow with the context: the best of long ago fades.
  best_ms_ = best_ms_ > 0 ? std::min(1.01 * best_ms_, usual_ms_) : usual_ms_;
  rest_ms_ -= ms_;
  const bool starved = cpu_ms_ < kStarved * count_ * ms_;
  const bool slow = usual_ms_ > kSlow * best_ms_;
  steps_ = 0;
  ms_ = cpu_ms_ = 0;
  if (rest_ms_ > 0) return;
  if (count_ > 1 && (starved || slow)) {
    // Where three of eight cores are taken, six threads wait as seven did: what did not help is not tried twice in turn.
    lowest_ = lowest_ > 1 && lowest_ < count_ ? Fewer(lowest_) : Fewer(count_);
    trial_ = lowest_;
  } else if (count_ < most_) {
    trial_ = More(count_, most_);
  }
}

void ThreadGovernor::EndTrial(bool better) {
  if (better) {
    count_ = trial_;
    usual_ms_ = best_ms_ = ms_ / steps_;
    pause_ms_ = 0;
    lowest_ = 0;
    rest_ms_ = count_ < most_ ? kLeastPause : 0;
  } else {
    const double cost = std::max(0.0, ms_ - usual_ms_ * steps_);
    const double longer = trial_ < count_ && trial_ > 1 ? pause_ms_ : 2 * pause_ms_;  // when all have been tried
    pause_ms_ = std::clamp(std::max(longer, kWorth * cost), kLeastPause, kMostPause);
    rest_ms_ = pause_ms_;
  }
  trial_ = steps_ = 0;
  ms_ = cpu_ms_ = 0;
}

}  // namespace sotto
