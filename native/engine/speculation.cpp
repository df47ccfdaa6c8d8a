#include "engine/speculation.h"

#include <algorithm>
#include <cstddef>

namespace sotto {
namespace {

// What a step must gain to be made wider, since times and chances are only known about.
constexpr double kWorth = 1.05;
// What others may lose in a step that is made wider for one of them.
constexpr double kLoss = 1.1;
constexpr double kLeastChance = 0.02;  // of a token to be right with all before it

// An observation weighs as much as this many others, but the first ones more: an answer soon shows what it is like.
constexpr int kMatchMemory = 8, kFirstMemory = 3;
constexpr float kNewDraft = 1.0f / 16;
constexpr float kFirstDraftChance = 0.7f;
// A draft model that was not worth its time is tried again now and then: a token brings its chance so much nearer to the first
// one, which costs well under a hundredth of the time where the trial fails.
constexpr float kDraftHope = 0.002f;

void Observe(float& chance, bool right, float weight) { chance += weight * ((right ? 1.0f : 0.0f) - chance); }

// A choice in the making: what each proposal gives so far.
struct Choice {
  std::span<const Proposal> proposals;
  std::vector<int> counts;
  std::vector<double> next;    // chance that its next token is reached and right
  std::vector<double> tokens;  // expected of it, with the one that is certain
  double all_tokens;
  int rows = 0;  // added

  explicit Choice(std::span<const Proposal> from)
      : proposals(from),
        counts(from.size(), 0),
        next(from.size(), 0),
        tokens(from.size(), 1),
        all_tokens(double(from.size())) {
    for (size_t i = 0; i < from.size(); ++i) next[i] = from[i].chances.empty() ? 0 : from[i].chances[0];
  }

  void Add(size_t i) {
    tokens[i] += next[i];
    all_tokens += next[i];
    ++rows;
    const std::vector<float>& chances = proposals[i].chances;
    ++counts[i];
    next[i] = size_t(counts[i]) < chances.size() ? next[i] * chances[size_t(counts[i])] : 0;
  }

  double DraftingMs() const {
    double ms = 0;
    for (size_t i = 0; i < counts.size(); ++i) ms = std::max(ms, counts[i] * proposals[i].token_ms);
    return ms;
  }
};

}  // namespace

std::vector<int> ChooseDrafts(std::span<const Proposal> proposals, const StepCosts& costs, double other_ms, int room) {
  const int own = int(proposals.size());
  Choice choice(proposals);
  for (size_t i = 0; i < proposals.size(); ++i) {
    const int most = proposals[i].always ? int(proposals[i].chances.size()) : 0;
    while (choice.counts[i] < most && choice.rows < room) choice.Add(i);
  }
  std::vector<int> best = choice.counts;
  const auto ms_of = [&](const Choice& c) { return other_ms + costs.Next(own + c.rows, own) + c.DraftingMs(); };
  const double least_ms = ms_of(choice);
  if (!(least_ms > other_ms)) return best;  // nothing is known about steps yet
  double best_rate = kWorth * choice.all_tokens / least_ms;
  while (choice.rows < room) {
    const size_t i = size_t(std::max_element(choice.next.begin(), choice.next.end()) - choice.next.begin());
    if (i == choice.next.size() || choice.next[i] < kLeastChance) break;
    choice.Add(i);
    const double ms = ms_of(choice);
    const double least = *std::min_element(choice.tokens.begin(), choice.tokens.end());
    if (choice.all_tokens / ms > best_rate && ms <= kLoss * least_ms * least) {
      best_rate = choice.all_tokens / ms;
      best = choice.counts;
    }
  }
  return best;
}

Speculation::Speculation(SpeculationMode mode, int prompt_length)
    : mode_(mode), known_(prompt_length), draft_chance_(kFirstDraftChance) {}

Speculation::Chance& Speculation::After(int match) {
  size_t length = 0;
  while (length + 1 < chances_.size() && match > 2 << length) ++length;
  return chances_[length];
}

void Speculation::Learn(std::span<const int32_t> tokens) {
  while (index_.size() < int(tokens.size())) {
    const int32_t token = tokens[size_t(index_.size())];
    if (index_.size() >= known_) {
      const int match = index_.Match();
      if (match > 0) {
        Chance& chance = After(match);
        Observe(chance.value, index_.Proposal(0) == token,
                1.0f / float(std::min(kMatchMemory, kFirstMemory + chance.seen)));
        ++chance.seen;
      }
      draft_chance_ += kDraftHope * (kFirstDraftChance - draft_chance_);
    }
    index_.Append(token);
  }
}

void Speculation::Forget(int length) {
  index_ = {};
  known_ = length;
}

Proposal Speculation::FromText(int most) {
  Proposal proposal;
  proposal.always = mode_ == SpeculationMode::kAlways;
  const int match = index_.Match();
  for (int i = 0; match > 0 && i < most; ++i) proposal.chances.push_back(After(match + i).value);
  return proposal;
}

Proposal Speculation::FromDraft(int most, double token_ms) const {
  Proposal proposal;
  proposal.always = mode_ == SpeculationMode::kAlways;
  proposal.token_ms = token_ms;
  proposal.chances.assign(size_t(std::max(most, 0)), draft_chance_);
  return proposal;
}

void Speculation::DraftVerified(int proposed, int accepted) {
  for (int i = 0; i < accepted; ++i) Observe(draft_chance_, true, kNewDraft);
  if (accepted < proposed) Observe(draft_chance_, false, kNewDraft);
}

}  // namespace sotto
