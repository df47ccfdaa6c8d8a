// step-costs.h: how long a step takes, by the number of rows that it computes: measured where it was measured of late, and
// guessed from its neighbours elsewhere. Pure logic; what it is told is its only clock.
#pragma once

#include <array>
#include <cstdint>

namespace sotto {

class StepCosts {
 public:
  // A step of `rows` rows and no prefill took `ms`.
  void Measured(int rows, double ms);
  // Milliseconds; 0 as long as nothing was measured.
  double Of(int rows) const;

 private:
  static constexpr int kMostRows = 64;
  struct Entry {
    double ms = 0;
    uint64_t step = 0;  // that was the last with so many rows; 0: none
  };
  bool Known(int rows) const;

  std::array<Entry, kMostRows + 1> entries_;
  uint64_t step_ = 0;
};

}  // namespace sotto
