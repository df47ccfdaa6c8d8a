// step-planner.h: which tokens go into the next batch. Every running sequence gives its one token and its draft; what is left
// of the step's budget is prefill, in turn by principal, then by sequence. A long prompt never freezes running streams.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/handles.h"
#include "engine/sequence.h"
#include "engine/step-costs.h"

namespace sotto {

class StepPlanner {
 public:
  explicit StepPlanner(int batch_size) : batch_size_(batch_size) {}

  // Fills `batch`; sets chunk and row of each sequence.
  void Plan(const std::vector<SequencePtr>& running, BatchPtr& batch);
  // How long the planned step took; the prefill budget beside running streams is made from this.
  void Measured(double milliseconds);
  const StepCosts& costs() const { return costs_; }
  // What prefill will take in the next step beside `generating` streams, when `pending` tokens wait for it.
  double PrefillMs(int pending, int generating) const;

 private:
  int PrefillBudget(int generating) const;

  int batch_size_;
  uint64_t step_ = 0;
  int prefill_tokens_ = 0;                 // of the planned step
  int generating_ = 0;                     // its other rows
  StepCosts costs_;                        // of steps that only generate
  double token_ms_ = 0;                    // of one more prefill token; 0: not measured yet
  std::map<std::string, uint64_t> turns_;  // principal → step that last prefilled for it
};

}  // namespace sotto
