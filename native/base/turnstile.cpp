#include "base/turnstile.h"

#include <chrono>

namespace sotto {
namespace {

// A step of another model may take seconds; who is told to stop meanwhile hears it this soon.
constexpr auto kAskAgain = std::chrono::milliseconds(10);

}  // namespace

Turnstile::Turn Turnstile::Enter(const std::function<bool()>& give_up) {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  line_.push_back(ticket);
  while (line_.front() != ticket) {
    moved_.wait_for(lock, kAskAgain);
    if (line_.front() == ticket || !give_up()) continue;
    std::erase(line_, ticket);  // not the first: nobody's turn begins
    return {};
  }
  return Turn(*this);
}

void Turnstile::Leave() {
  {
    std::lock_guard lock(mutex_);
    line_.erase(line_.begin());
  }
  moved_.notify_all();
}

}  // namespace sotto
