// scheduler-pins.cpp: the loop and its pinned prefixes. A prefix to pin is a request like any other that wants no token: it
// waits, is prefilled in turn and may be cancelled; what it computed then belongs to everybody until it is unpinned.

#include <algorithm>

#include "engine/scheduler-loop.h"

namespace sotto {
namespace {

constexpr int kLeftOfContext = 8;  // pins leave an eighth of the cells for what is said behind them

}  // namespace

// Whether the request fits beside what is pinned; a request to pin, also whether what it leaves is enough. It fails else.
bool Scheduler::Loop::FitsBesidePins(const Request& request) {
  const int tokens = int(request.tokens.size()), pinned = cache_->PinnedCells();
  const auto fail = [&](ErrorCode code, const std::string& message) {
    events_.push_back(Event::Failed(request.id, code, message));
    return false;
  };
  if (!request.pin) {
    const int shared = options_.prefix_cache && request.reuse_prefix ? cache_->LookupPinned(request.tokens) : 0;
    const int most = info_.context_size - pinned + shared;
    if (tokens < most) return true;
    const std::string beside = pinned > 0 ? " beside the " + std::to_string(pinned) + " of " +
                                                std::to_string(info_.context_size) + " that are pinned"
                                          : "";
    return fail(ErrorCode::kPromptTooLong, "Expected a prompt of fewer than " + std::to_string(most) + " tokens" +
                                               beside + ", received " + std::to_string(tokens) +
                                               ": load the model with a larger contextSize or shorten it");
  }
  if (!options_.prefix_cache) {
    return fail(ErrorCode::kOptionInvalid,
                "Expected a model that was loaded with prefixCache, without which nothing can be pinned");
  }
  int pins = int(pins_.size()), expected = pinned + tokens - cache_->LookupPinned(request.tokens);
  const auto expect = [&](const SequencePtr& other) {
    if (!other->request->pin) return;
    ++pins;
    expected += int(other->tokens.size());
  };
  std::for_each(waiting_.begin(), waiting_.end(), expect);
  std::for_each(running_.begin(), running_.end(), expect);
  // Every request that runs needs an id of its own.
  if (pins >= options_.cached_sequences) {
    return fail(ErrorCode::kContextFull, "Expected at most " + std::to_string(options_.cached_sequences) +
                                             " pinned prefixes, received one more: close one");
  }
  const int most = info_.context_size - info_.context_size / kLeftOfContext;
  if (expected <= most) return true;
  return fail(ErrorCode::kContextFull, "Expected at most " + std::to_string(most) + " of the " +
                                           std::to_string(info_.context_size) +
                                           " tokens of the context to be pinned, received a prefix of " +
                                           std::to_string(tokens) + " with which " + std::to_string(expected) +
                                           " would be: close one, or load the model with a larger contextSize");
}

// Its request has ended as it should.
void Scheduler::Loop::Pin(Sequence& sequence) {
  cache_->Pin(sequence.id);
  pins_[sequence.request->id] = std::exchange(sequence.id, -1);
}

void Scheduler::Loop::Do(UnpinCommand& command) {
  const auto pin = pins_.find(command.id);
  if (pin == pins_.end()) return;
  cache_->Unpin(pin->second);
  pins_.erase(pin);
}

}  // namespace sotto
