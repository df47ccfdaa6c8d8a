#include "engine/step-costs.h"

#include <algorithm>

namespace sotto {
namespace {

constexpr double kNew = 0.2;  // weight of the newest measurement
// Contexts grow, other programs come and go: what was seen so many steps ago is looked at again before it is believed.
constexpr uint64_t kMemory = 512;
// What a row is thought to add to a step of one before anything else was measured. Too little is found out in one step; too
// much would never be.
constexpr double kRowShare = 0.1;

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
  entry = {known ? (1 - kNew) * entry.ms + kNew * ms : ms, step_};
}

double StepCosts::Of(int rows) const {
  rows = std::clamp(rows, 1, kMostRows);
  if (Known(rows)) return entries_[size_t(rows)].ms;
  int below = rows - 1, above = rows + 1;
  while (below > 0 && !Known(below)) --below;
  while (above <= kMostRows && !Known(above)) ++above;
  if (below == 0 && above > kMostRows) return 0;
  const auto ms = [this](int at) { return entries_[size_t(at)].ms; };
  if (below == 0) return ms(above);
  if (above <= kMostRows) return ms(below) + (ms(above) - ms(below)) * (rows - below) / (above - below);
  int first = 1;
  while (first < below && !Known(first)) ++first;
  const double slope = first < below ? std::max(0.0, (ms(below) - ms(first)) / (below - first)) : kRowShare * ms(below);
  return ms(below) + slope * (rows - below);
}

}  // namespace sotto
