// threads.h: ggml's worker pool. One per process for everybody who asks for the same affinity and priority, so that two
// models do not fight with two sets of spinning threads. A pool runs one graph at a time: Compute takes its turn.
#pragma once

#include <ggml-cpp.h>
#include <ggml-cpu.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/turnstile.h"
#include "engine/crew.h"

namespace sotto {

struct ThreadOptions {
  int generation = 0;         // threads for one token a sequence; ≥ 1
  int prompt = 0;             // threads for prefill; ≥ 1
  std::vector<int> affinity;  // CPU numbers; empty: anywhere
  int priority = 0;           // -1 low … 3 realtime (ggml_sched_priority)
  int poll = 50;              // 0 sleep at once … 100 spin long
};

class ThreadPool {
 public:
  // The pool for these options, made or grown when needed. Any thread. Lives as long as somebody holds it.
  static std::shared_ptr<ThreadPool> Acquire(const ThreadOptions& options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // One of exactly `count` threads, at most size(): threads of a larger pool that have nothing to do would go on spinning for work, and take
  // the core that was to be left free. Made when first asked for.
  ggml_threadpool_t get(int count);
  // Helpers for whoever computes a graph alone, up to `members` threads together; null where there would be none, or where an affinity or a
  // priority is wanted, which only ggml's threads have. Made when first asked for.
  Crew* crew(int members);
  int size() const { return size_; }

  // Held while a graph runs on the pool. Empty when `give_up` said so before it was our turn.
  [[nodiscard]] Turnstile::Turn Turn(const std::function<bool()>& give_up) { return turnstile_.Enter(give_up); }

 private:
  ThreadPool(const ThreadOptions& options, int size);
  ggml_threadpool_t Make(int count) const;

  const ThreadOptions options_;
  int size_;
  ggml_threadpool_t pool_ = nullptr;
  std::mutex mutex_;
  std::map<int, ggml_threadpool_t> smaller_;    // by count
  std::map<int, std::unique_ptr<Crew>> crews_;  // by members
  Turnstile turnstile_;
};

}  // namespace sotto
