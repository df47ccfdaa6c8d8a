#include "engine/step-costs.h"

#include <algorithm>
#include <utility>

namespace sotto {
namespace {

constexpr double kNew = 0.2;  // weight of the newest measurement
// Contexts grow, other programs come and go: what was seen so many steps ago is looked at again before it is believed.
constexpr uint64_t kMemory = 512;
constexpr uint64_t kRecent = 32;  // and a step after a change says little about steps that were seen without one since
// What a row is thought to add to a step of one before anything was measured, prefill neither.
constexpr double kRowShare = 0.1;

void Smooth(double& value, double sample) { value = value > 0 ? (1 - kNew) * value + kNew * sample : sample; }

}  // namespace

bool StepCosts::Known(int rows) const {
  const Entry& entry = entries_[size_t(rows)];
  return entry.step > 0 && step_ - entry.step < kMemory;
}

void StepCosts::Measured(int rows, double ms) {
  if (rows < 1 || rows > kMostRows) return;
  const bool known = Known(rows);
  ++step_;
  Entry& entry = entries_[size_t(rows)];
  if (std::exchange(last_, rows) != rows) {
    if (known) Smooth(change_ms_, std::max(0.0, ms - entry.ms));
    if (known && step_ - entry.step < kRecent) return;
    ms = std::max(ms - change_ms_, ms / 2);
  }
  entry = {known ? (1 - kNew) * entry.ms + kNew * ms : ms, step_};
}

void StepCosts::Prefilled(double token_ms) {
  last_ = 0;
  if (token_ms > 0) row_ms_ = token_ms;
}

double StepCosts::Next(int rows, int own) const {
  const double ms = Of(rows);
  if (rows == own || rows == last_) return ms;
  return ms + (last_ == own ? 2 : 1) * change_ms_;
}

double StepCosts::Of(int rows) const {
  rows = std::clamp(rows, 1, kMostRows);
  if (Known(rows)) return entries_[size_t(rows)].ms;
  int below = rows - 1, above = rows + 1;
  while (below > 0 && !Known(below)) --below;
  while (above <= kMostRows && !Known(above)) ++above;
  if (below == 0 && above > kMostRows) return 0;
  const auto ms = [this](int at) { return entries_[size_t(at)].ms; };
  if (below == 0) {
    const double row = row_ms_ > 0 ? row_ms_ : ms(above) * kRowShare / (1 + kRowShare * (above - 1));
    return std::max(ms(above) * rows / above, ms(above) - row * (above - rows));
  }
  if (above <= kMostRows) return ms(below) + (ms(above) - ms(below)) * (rows - below) / (above - below);
  int first = 1;
  while (first < below && !Known(first)) ++first;
  const double guess = row_ms_ > 0 ? row_ms_ : kRowShare * ms(below);
  const double slope = first < below ? std::max(0.0, (ms(below) - ms(first)) / (below - first)) : guess;
  return ms(below) + slope * (rows - below);
}

}  // namespace sotto
