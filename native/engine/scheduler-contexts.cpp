// scheduler-contexts.cpp: the loop and the conversations that are kept. What a conversation has computed stays in the cache after its turn,
// leaves it as a ContextState when there is no room or when somebody asks, and comes back when its next turn is admitted. Whatever fails on
// the way, the turn computes what is missing.

#include <algorithm>

#include "base/log.h"
#include "engine/scheduler-loop.h"

namespace sotto {

void Scheduler::Loop::Do(ExpectCommand& command) {
  if (command.expected) {
    expected_.insert(command.context);
  } else {
    expected_.erase(command.context);
  }
}

void Scheduler::Loop::Do(DropCommand& command) {
  expected_.erase(command.context);
  parked_.erase(command.context);
  const int id = cache_ ? cache_->OfContext(command.context) : -1;
  if (id >= 0) {
    if (command.wipe && !layout_) ReadState(id);  // how one is laid out
    cache_->Evict(id);
  }
  if (command.wipe) WipeFreeCells();
}

void Scheduler::Loop::Do(std::unique_ptr<SaveCommand>& command) {
  ContextStatePtr state;
  const auto parked = parked_.find(command->context);
  const int id = cache_ ? cache_->OfContext(command->context) : -1;
  if (parked != parked_.end()) {
    state = parked->second.state;
    if (command->evict) parked_.erase(parked);
  } else if (id >= 0) {
    state = ReadState(id);
    if (command->evict) cache_->Evict(id);
  }
  if (command->wipe) WipeFreeCells();
  command->state.set_value(std::move(state));
}

void Scheduler::Loop::Do(RestoreCommand& command) {
  expected_.erase(command.context);
  parked_[command.context] = std::move(command.parked);
}

// The turn has ended, or gives its place away for a while.
void Scheduler::Loop::Release(Sequence& sequence, bool keep) {
  const ContextId context = sequence.request->context;
  const int id = std::exchange(sequence.id, -1);
  ContextNews news;
  if (cache_->Release(id, keep, context) && context != 0) {
    news.tokens = sequence.cached;
    news.bytes = llama_state_seq_get_size(context_.get(), id);
  }
  if (context != 0) events_.push_back(Event::Context(context, news));
}

// Its cells are wanted for something else.
void Scheduler::Loop::Park(ContextId context, int id) {
  ContextNews news;
  if (ContextStatePtr state = ReadState(id)) {
    news = {int32_t(state->tokens().size()), state->bytes().size(), true};
    parked_[context] = {cache_->Principal(id), std::move(state)};
  }
  events_.push_back(Event::Context(context, news));
}

// Back into the cache, for the turn that is about to be admitted.
Scheduler::Loop::Admission Scheduler::Loop::Unpark(const Sequence& sequence) {
  const ContextId context = sequence.request->context;
  if (expected_.contains(context)) return Admission::kNotNow;
  const auto found = parked_.find(context);
  if (context == 0 || found == parked_.end()) return Admission::kAdmitted;
  const int tokens = int(found->second.state->tokens().size());
  const int needed = std::max(tokens, int(sequence.tokens.size()));
  if (!running_.empty() && cache_->RunningCells() + needed > info_.context_size) return Admission::kNoRoom;
  const Parked parked = std::move(found->second);
  parked_.erase(found);  // before others are evicted, which are parked too
  ContextNews news;
  if (WriteState(parked, context)) news = {tokens, parked.state->bytes().size()};
  events_.push_back(Event::Context(context, news));
  return Admission::kAdmitted;
}

ContextStatePtr Scheduler::Loop::ReadState(int id) {
  try {
    std::vector<int32_t> tokens = cache_->Tokens(id);
    // Upstream leaves out what a sliding window does not see any more, and then no other sequence could share a part.
    const int window = llama_model_n_swa(model_->get());
    if (tokens.empty() || (window > 0 && int(tokens.size()) >= window)) return nullptr;
    auto state = std::make_shared<ContextState>(std::move(tokens), llama_state_seq_get_size(context_.get(), id));
    const std::span<uint8_t> bytes = state->bytes();
    if (llama_state_seq_get_data(context_.get(), bytes.data(), bytes.size(), id) != bytes.size()) return nullptr;
    if (!IsStateOf(bytes, state->tokens().size(), model_->info().recurrent)) return nullptr;
    if (!layout_) layout_ = StateLayout::Of(bytes, state->tokens().size());
    return state;
  } catch (const std::exception& exception) {
    Log(LogLevel::kWarn, std::string("A conversation could not be read: ") + exception.what());
    return nullptr;
  }
}

// Into a sequence of its own, which goes again when anything of it is not as it should be: upstream's other sequences stay whole.
bool Scheduler::Loop::WriteState(const Parked& parked, ContextId context) {
  const std::span<const int32_t> tokens = parked.state->tokens();
  const std::span<const uint8_t> bytes = parked.state->bytes();
  const int32_t vocabulary = model_->info().vocabulary;
  const auto known = [vocabulary](int32_t token) { return token >= 0 && token < vocabulary; };
  if (tokens.empty() || int(tokens.size()) >= info_.context_size || !std::all_of(tokens.begin(), tokens.end(), known) ||
      !IsStateOf(bytes, tokens.size(), model_->info().recurrent)) {
    return false;
  }
  while (cache_->Cells() + int(tokens.size()) > info_.context_size && cache_->EvictOne()) continue;
  const int id = cache_->AcquireEmpty();
  if (id < 0) return false;
  const llama_memory_t memory = llama_get_memory(context_.get());
  if (llama_state_seq_set_data(context_.get(), bytes.data(), bytes.size(), id) != bytes.size() ||
      llama_memory_seq_pos_max(memory, id) != int(tokens.size()) - 1) {
    cache_->Evict(id);
    return false;
  }
  cache_->Adopt(id, parked.principal, tokens, context);
  return true;
}

// Upstream has no way to clear single cells. What it can do is to restore a sequence: one of zeros that takes every free cell.
void Scheduler::Loop::WipeFreeCells() {
  const int id = cache_ && layout_ ? cache_->AcquireEmpty() : -1;
  if (id < 0) return;
  const auto wiped = [&](int cells) {
    const StateLayout::Zeros zeros = layout_->Make(size_t(cells));
    return llama_state_seq_set_data(context_.get(), zeros.bytes.get(), zeros.size, id) == zeros.size;
  };
  // The most that fits are all; sequences may hold more cells, or fewer, than are counted.
  int fits = 0, tight = info_.context_size + 1;
  for (int cells = std::clamp(info_.context_size - cache_->Cells(), 1, info_.context_size); tight - fits > 1;) {
    const bool first = fits == 0 && tight > info_.context_size;
    (wiped(cells) ? fits : tight) = cells;
    cells = first && fits > 0 ? fits + 1 : fits + (tight - fits) / 2;
  }
  cache_->Evict(id);
}

}  // namespace sotto
