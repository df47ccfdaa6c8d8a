// scheduler-drafts.cpp: the loop and its drafts: what goes into a step beside the tokens that are known, and what of it stays.
// A draft token stays where the sequence's own sampler, asked in order with everything it remembers, chooses the same one: the
// answer is that of one token a step, greedy or sampled, and only comes sooner.

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"
#include "engine/context.h"
#include "engine/scheduler-loop.h"

namespace sotto {
namespace {

constexpr int kReadBeside = 64;  // tokens that the draft model may read in a step in which others stream

}  // namespace

// Sets the draft of every sequence for the step that is about to be planned.
void Scheduler::Loop::Draft() {
  drafted_ = 0;
  std::vector<Sequence*> sequences;
  std::vector<Proposal> proposals;
  int pending = 0, prefilling = 0;
  bool any = false;
  const bool rest = draft_rest_ > 0;
  if (rest) --draft_rest_;
  for (const SequencePtr& sequence : running_) {
    sequence->draft.clear();
    if (sequence->prefilling()) {
      pending += sequence->pending();
      ++prefilling;
    } else if (!sequence->paused()) {
      sequences.push_back(sequence.get());
      proposals.push_back(rest ? Proposal() : Propose(*sequence));
      any |= !proposals.back().chances.empty();
    }
  }
  if (!any) return;

  const int own = int(sequences.size());
  const int room = std::min(info_.batch_size, int(MostOutputs(options_))) - own - prefilling;
  const std::vector<int> counts = ChooseDrafts(proposals, planner_.costs(), planner_.PrefillMs(pending, own), room);
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (sequences[i]->draft_from_model) continue;
    for (int ahead = 0; ahead < counts[i]; ++ahead) {
      sequences[i]->draft.push_back(sequences[i]->speculation->Token(ahead));
    }
  }
  if (draft_) DraftFromModel(sequences, counts);
  for (const Sequence* sequence : sequences) drafted_ += int(sequence->draft.size());
}

// The better of what its text and what the draft model say.
Proposal Scheduler::Loop::Propose(Sequence& sequence) {
  sequence.draft_from_model = false;
  if (!sequence.speculation || !speculates_) return {};
  Speculation& speculation = *sequence.speculation;
  speculation.Learn(sequence.tokens);
  int most = kMostDrafted;
  // The step itself gives one token, and what is beyond the last one is nobody's.
  if (sequence.request->max_tokens >= 0) most = std::min(most, sequence.request->max_tokens - sequence.generated - 1);
  if (most <= 0) return {};
  Proposal from_text = speculation.FromText(most);
  if (!draft_) return from_text;
  Proposal from_draft = speculation.FromDraft(std::min(most, int(options_.draft_tokens)), draft_->token_ms());
  if (!from_text.chances.empty() && from_text.chances[0] >= from_draft.chances[0]) return from_text;
  sequence.draft_from_model = true;
  return from_draft;
}

void Scheduler::Loop::DraftFromModel(const std::vector<Sequence*>& sequences, const std::vector<int>& counts) {
  std::vector<DraftModel::Job> jobs;
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence& sequence = *sequences[i];
    if (!sequence.draft_from_model || counts[i] == 0) continue;
    jobs.push_back({sequence.request->principal, sequence.tokens, counts[i], sequence.draft_slot, sequence.draft});
  }
  if (jobs.empty()) return;
  const auto turn = pool_->Turn([this] { return AbortCallback(this); });
  if (!turn) return;
  draft_->Draft(jobs, running_.size() > 1 ? kReadBeside : info_.batch_size);
}

// The tokens of one sequence after a step: one, and one more for every draft token that is right. False when it has ended.
bool Scheduler::Loop::Verify(Sequence& sequence) {
  const int id = sequence.id, proposed = int(sequence.draft.size());
  sequence.drafted += proposed;
  bool alive = Sample(sequence, sequence.row);
  int right = 0;
  while (alive && right < proposed && sequence.tokens.back() == sequence.draft[size_t(right)]) {
    cache_->Extend(id, std::span(sequence.tokens).last(1));
    ++sequence.cached;
    ++right;
    alive = Sample(sequence, sequence.row + right);
  }
  if (proposed == 0) return alive;
  SOTTO_PROBE3(draft__verified, sequence.request->id, proposed, right);
  if (sequence.draft_from_model) sequence.speculation->DraftVerified(proposed, right);
  if (right == proposed) return alive;
  // Nobody has taken the id over since, whether the sequence lives or not.
  if (llama_memory_seq_rm(llama_get_memory(context_.get()), id, sequence.cached, -1)) return alive;
  // A memory that keeps more than cells (DeepSeek V4's) cannot: it is filled again, and never asked again.
  speculates_ = false;
  cache_->Forget(id);
  sequence.cached = 0;
  return alive;
}

}  // namespace sotto
