// turnstile.h: one thread at a time, first come, first served. A plain mutex goes back to the thread that let it go a
// microsecond ago: a model that computes without pause would keep every other model waiting, and its close() with it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace sotto {

class Turnstile {
 public:
  // Held while it is its owner's turn. Empty: gave up.
  class Turn {
   public:
    Turn() = default;
    explicit Turn(Turnstile& turnstile) : turnstile_(&turnstile) {}
    Turn(Turn&& other) noexcept : turnstile_(std::exchange(other.turnstile_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turnstile_) turnstile_->Leave();
    }
    explicit operator bool() const { return turnstile_ != nullptr; }

   private:
    Turnstile* turnstile_ = nullptr;
  };

  // Waits its turn. `give_up` is asked now and then by who waits, under the lock: it must not block.
  [[nodiscard]] Turn Enter(const std::function<bool()>& give_up);

 private:
  void Leave();

  std::mutex mutex_;
  std::condition_variable moved_;
  uint64_t next_ticket_ = 0;
  std::vector<uint64_t> line_;  // the first one is inside
};

}  // namespace sotto
