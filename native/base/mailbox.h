// mailbox.h: many threads put, one thread takes. The only way into a thread that owns something mutable.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

namespace sotto {

template <typename T>
class Mailbox {
 public:
  // Returns false once closed: the taker is gone or going, and `item` stays with the caller.
  bool Put(T&& item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return false;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return true;
  }

  // Makes a waiting taker return even with nothing to take: a flag outside the mailbox has changed.
  void Wake() {
    {
      std::lock_guard lock(mutex_);
      woken_ = true;
    }
    ready_.notify_one();
  }

  void Close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_one();
  }

  // Blocks until there is an item, a wake or a close, then hands over everything at once.
  std::vector<T> Wait() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return woken_ || closed_ || !items_.empty(); });
    woken_ = false;
    return std::exchange(items_, {});
  }

  std::vector<T> TakeNow() {
    std::lock_guard lock(mutex_);
    woken_ = false;
    return std::exchange(items_, {});
  }

  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<T> items_;
  bool woken_ = false;
  bool closed_ = false;
};

}  // namespace sotto
