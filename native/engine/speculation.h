// speculation.h: tokens that are proposed before the model has said them, so that one step verifies several. What is proposed
// is only kept where the sampler chooses the same, so an answer never changes: only its speed does. Here is what may be
// proposed for a sequence, with what chance, and whether it is worth its rows. Pure logic: no model, no clock.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "engine/ngram-index.h"
#include "engine/step-costs.h"

namespace sotto {

enum class SpeculationMode { kOff, kAuto, kAlways };  // kAlways: whatever can be proposed, whatever it costs

constexpr int kMostDrafted = 15;  // tokens of one sequence in one step: 16 rows with the one that is known

// What could be proposed for one sequence, which has one row in the step anyway.
struct Proposal {
  std::vector<float> chances;  // of each token, if all before it are right
  double token_ms = 0;         // what a draft model takes for each; those of several sequences are made together
  bool always = false;
};

// How many tokens of each proposal go into the step: the expected tokens a second become most, and nobody's own become
// noticeably fewer. `other_ms`: what the step takes besides; `room`: most rows to add.
std::vector<int> ChooseDrafts(std::span<const Proposal> proposals, const StepCosts& costs, double other_ms, int room);

// Of one sequence: what its text says about what comes next, and how right that was of late. The index is asked about every
// token, whether it was proposed or not, so nothing has to be tried to know what trying would give.
class Speculation {
 public:
  Speculation(SpeculationMode mode, int prompt_length);
  SpeculationMode mode() const { return mode_; }

  // The whole text; what was added since the last call and lies behind the prompt is compared with what was expected.
  void Learn(std::span<const int32_t> tokens);
  // The text has changed in its middle, and is `length` tokens long now.
  void Forget(int length);

  // Up to `most` tokens from the text itself.
  Proposal FromText(int most);
  int32_t Token(int ahead) const { return index_.Proposal(ahead); }

  // Up to `most` tokens from a draft model that takes `token_ms` for each.
  Proposal FromDraft(int most, double token_ms) const;
  // So many tokens of a draft model were proposed, and the first `accepted` were right.
  void DraftVerified(int proposed, int accepted);

 private:
  static constexpr int kLengths = 5;
  struct Chance {
    float value;
    int seen = 0;
  };
  Chance& After(int match);

  SpeculationMode mode_;
  NgramIndex index_;
  int known_;  // tokens that were there from the start: nobody had to expect them
  // That the text goes on as it did, by how many tokens it has repeated: up to 2, 4, 8, 16, more. At first what was seen in
  // answers of small models, rounded down.
  std::array<Chance, kLengths> chances_ = {{{0.25f}, {0.4f}, {0.6f}, {0.75f}, {0.9f}}};
  float draft_chance_;
};

}  // namespace sotto
