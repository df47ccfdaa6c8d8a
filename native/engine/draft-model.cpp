#include "engine/draft-model.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "engine/context.h"
#include "engine/prefix-cache.h"

namespace sotto {
namespace {

// Vocabularies of one family are padded to different sizes; what is beyond the smaller one is never proposed.
constexpr int kMostPadding = 512;

[[noreturn]] void Refuse(const std::string& expected, const Model& draft) {
  throw Error(ErrorCode::kDraftInvalid, "Expected the draft to be " + expected + ", received " +
                                            draft.info().description + ": use a smaller model of the same family");
}

SchedulerOptions ContextOptions(const Model& draft, const Model& target, SchedulerOptions options,
                                int32_t context_size) {
  const ModelInfo &d = draft.info(), &t = target.info();
  if (d.has_encoder || !d.has_decoder || d.recurrent || d.hybrid)
    Refuse("a decoder-only model that can take tokens back", draft);
  const int common = std::min(d.vocabulary, t.vocabulary);
  bool same = d.vocabulary_type == t.vocabulary_type && std::max(d.vocabulary, t.vocabulary) - common <= kMostPadding &&
              d.bos == t.bos && d.eos == t.eos;
  for (llama_token token = 0; same && token < common; ++token) {
    const char *a = llama_vocab_get_text(draft.vocab(), token), *b = llama_vocab_get_text(target.vocab(), token);
    same = std::strcmp(a, b) == 0;
  }
  if (!same) Refuse("a model with the vocabulary of " + t.description, draft);
  options.context_size = context_size;
  options.cached_sequences = 0;
  return options;
}

}  // namespace

DraftModel::DraftModel(ModelPtr model, const Model& target, const SchedulerOptions& options, int32_t context_size,
                       ggml_abort_callback abort, void* abort_data)
    : model_(std::move(model)),
      context_(MakeContext(*model_, ContextOptions(*model_, target, options, context_size), abort, abort_data)),
      batch_(int(llama_n_batch(context_.get()))),
      vocabulary_(std::min(model_->info().vocabulary, target.info().vocabulary)),
      slots_(size_t(options.sequences)) {
  if (!llama_get_memory(context_.get())) Refuse("a model that generates", *model_);
}

// The place whose text begins like `tokens`, or the one that was left longest ago.
int DraftModel::Take(const std::string& principal, std::span<const int32_t> tokens) {
  int best = -1, longest = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.taken) continue;
    const int common = slot.principal == principal ? CommonPrefix(slot.tokens, tokens) : 0;
    const bool better =
        best < 0 || common > longest || (common == longest && slot.last_used < slots_[size_t(best)].last_used);
    if (!better) continue;
    best = int(i);
    longest = common;
  }
  if (best < 0) return -1;
  Slot& slot = slots_[size_t(best)];
  if (slot.principal != principal) Cut(best, 0);
  slot.principal = principal;
  slot.taken = true;
  return best;
}

void DraftModel::Release(int slot) {
  if (slot < 0) return;
  slots_[size_t(slot)].taken = false;
  slots_[size_t(slot)].last_used = ++clock_;
}

void DraftModel::Cut(int slot, int length) {
  std::vector<int32_t>& tokens = slots_[size_t(slot)].tokens;
  tokens.resize(size_t(length));
  llama_memory_seq_rm(llama_get_memory(context_.get()), slot, length, -1);
}

// What is in the batch, or nothing of it: then its rows are taken back. False also when there is no room.
bool DraftModel::Decode() {
  int32_t status = llama_decode(context_.get(), batch_.get());
  while (status == 1) {
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (!slot.taken && !slot.tokens.empty() && (!oldest || slot.last_used < oldest->last_used)) oldest = &slot;
    }
    if (!oldest) break;
    Cut(int(oldest - slots_.data()), 0);
    status = llama_decode(context_.get(), batch_.get());
  }
  if (status == 0) llama_synchronize(context_.get());
  const llama_batch& batch = batch_.get();
  for (int row = 0; row < batch_.size(); ++row) {
    const llama_seq_id id = batch.seq_id[row][0];
    Slot& slot = slots_[size_t(id)];
    if (status == 0) {
      slot.tokens.push_back(batch.token[row]);
    } else {
      Cut(id, int(slot.tokens.size()));
    }
  }
  return status == 0;
}

void DraftModel::Draft(std::vector<Job>& jobs, int budget) {
  budget = std::clamp(budget, int(jobs.size()), batch_.capacity());
  struct Writing {
    Job* job;
    int row;
  };
  std::vector<Writing> writing;
  batch_.Clear();
  for (Job& job : jobs) {
    if (job.slot < 0) job.slot = Take(job.principal, job.tokens);
    if (job.slot < 0) continue;
    Slot& slot = slots_[size_t(job.slot)];
    // The last token is always read: what follows it is what is asked for.
    const int common = std::min(CommonPrefix(slot.tokens, job.tokens), int(job.tokens.size()) - 1);
    if (common < int(slot.tokens.size())) Cut(job.slot, common);
    const int count = std::min(int(job.tokens.size()) - common, budget - batch_.size());
    const auto foreign = [this](int32_t token) { return token >= vocabulary_; };
    const std::span<const int32_t> unread = job.tokens.subspan(size_t(common));
    if (std::any_of(unread.begin(), unread.end(), foreign)) continue;
    for (int i = 0; i < count; ++i) {
      const int position = common + i;
      const bool last = position + 1 == int(job.tokens.size());
      const int row = batch_.Add(job.tokens[size_t(position)], position, job.slot, last);
      if (last) writing.push_back({&job, row});
    }
  }
  if (batch_.size() == 0 || !Decode()) return;
  while (!writing.empty()) {
    for (const Writing& each : writing) {
      const float* logits = llama_get_logits_ith(context_.get(), each.row);
      if (!logits) return;
      each.job->draft.push_back(int32_t(std::max_element(logits, logits + vocabulary_) - logits));
    }
    std::erase_if(writing, [this](const Writing& each) {
      return int(each.job->draft.size()) >= each.job->count ||
             llama_vocab_is_eog(model_->vocab(), each.job->draft.back());
    });
    if (writing.empty()) return;
    batch_.Clear();
    for (Writing& each : writing) {
      const int slot = each.job->slot;
      each.row = batch_.Add(each.job->draft.back(), int(slots_[size_t(slot)].tokens.size()), slot, true);
    }
    const auto start = Clock::now();
    if (!Decode()) return;
    const double ms = MillisecondsBetween(start, Clock::now());
    token_ms_ = token_ms_ > 0 ? 0.8 * token_ms_ + 0.2 * ms : ms;
  }
}

}  // namespace sotto
