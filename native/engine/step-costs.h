// step-costs.h: how long a step takes, by the number of rows that it computes: measured where it was measured of late, and
// guessed from its neighbours elsewhere; and what it costs to compute another number of rows than the step before, for which
// the graph is made anew. Pure logic; what it is told is its only clock.
#pragma once

#include <array>
#include <cstdint>

namespace sotto {

class StepCosts {
 public:
  // A step of `rows` rows and no prefill took `ms`.
  void Measured(int rows, double ms);
  // A step with prefill ran, in which each of its tokens took `token_ms`, or nobody knows how long.
  void Prefilled(double token_ms);
  // Milliseconds, in a row of such steps; 0 as long as nothing was measured.
  double Of(int rows) const;
  // The same for the next step, where one of `own` rows is what would be computed without drafts: whoever leaves that number
  // will come back to it, and pays for both.
  double Next(int rows, int own) const;

 private:
  static constexpr int kMostRows = 64;
  struct Entry {
    double ms = 0;
    uint64_t step = 0;  // that was the last with so many rows; 0: none
  };
  bool Known(int rows) const;

  std::array<Entry, kMostRows + 1> entries_;
  uint64_t step_ = 0;
  int last_ = 0;          // rows of the last step; 0: something else ran
  double change_ms_ = 0;  // what another number of rows costs
  double row_ms_ = 0;     // of a prefill token; 0: not known
};

}  // namespace sotto
