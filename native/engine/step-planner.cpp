#include "engine/step-planner.h"

#include <algorithm>

namespace sotto {
namespace {

// What prefill may add to one step while others stream: about the time between two words read aloud at twice speaking
// pace is 100 ms; half of it keeps a stream smooth. Fewer than 32 tokens a step would waste the matrix kernels.
constexpr double kPrefillMs = 50;
constexpr int kLeastChunk = 32;

int AddTokens(Sequence& sequence, int count, BatchPtr& batch) {
  for (int i = 0; i < count; ++i) {
    const bool last = sequence.cached + i + 1 == int(sequence.tokens.size());
    const int row = batch.Add(sequence.tokens[sequence.cached + i], sequence.cached + i, sequence.id, last);
    if (last) sequence.row = row;
  }
  sequence.chunk = count;
  // Behind the row of the last token that is known: each draft token's row says what comes after it.
  for (size_t i = 0; i < sequence.draft.size(); ++i) {
    batch.Add(sequence.draft[i], sequence.cached + count + int(i), sequence.id, true);
  }
  return count + int(sequence.draft.size());
}

}  // namespace

int StepPlanner::PrefillBudget(int generating) const {
  const int room = batch_size_ - generating;
  if (generating == 0) return room;
  if (token_ms_ <= 0) return std::min(room, 2 * kLeastChunk);
  return std::clamp(int(kPrefillMs / token_ms_), std::min(room, kLeastChunk), room);
}

double StepPlanner::PrefillMs(int pending, int generating) const {
  return pending == 0 ? 0 : std::min(pending, PrefillBudget(generating)) * token_ms_;
}

void StepPlanner::Plan(const std::vector<SequencePtr>& running, BatchPtr& batch) {
  ++step_;
  batch.Clear();
  std::vector<Sequence*> prefilling;
  generating_ = 0;
  for (const SequencePtr& sequence : running) {
    sequence->chunk = 0;
    sequence->row = -1;
    if (sequence->prefilling()) {
      prefilling.push_back(sequence.get());
    } else if (!sequence->paused()) {
      generating_ += AddTokens(*sequence, 1, batch);
    }
  }
  prefill_tokens_ = 0;
  if (prefilling.empty()) {
    turns_.clear();
    return;
  }
  std::sort(prefilling.begin(), prefilling.end(), [this](const Sequence* a, const Sequence* b) {
    const uint64_t turn_a = turns_[a->request->principal], turn_b = turns_[b->request->principal];
    if (turn_a != turn_b) return turn_a < turn_b;
    if (a->last_prefill != b->last_prefill) return a->last_prefill < b->last_prefill;
    return a->arrival < b->arrival;
  });
  int budget = PrefillBudget(generating_);
  const int share = std::max(kLeastChunk, budget / int(prefilling.size()));
  for (Sequence* sequence : prefilling) {
    const int count = std::min({sequence->pending(), share, budget});
    if (count <= 0) break;
    AddTokens(*sequence, count, batch);
    sequence->last_prefill = step_;
    turns_[sequence->request->principal] = step_;
    prefill_tokens_ += count;
    budget -= count;
  }
}

void StepPlanner::Measured(double milliseconds) {
  const auto smooth = [](double& value, double sample) { value = value > 0 ? 0.8 * value + 0.2 * sample : sample; };
  if (prefill_tokens_ == 0) {
    costs_.Measured(generating_, milliseconds);
  } else if (prefill_tokens_ >= kLeastChunk) {
    const double own = generating_ > 0 ? costs_.Of(generating_) : 0;
    smooth(token_ms_, std::max(milliseconds - own, 0.1 * milliseconds) / prefill_tokens_);
  }
  if (prefill_tokens_ > 0) costs_.Prefilled(token_ms_);
}

}  // namespace sotto
