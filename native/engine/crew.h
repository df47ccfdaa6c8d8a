// crew.h: threads that help the one that computes a token. That one computes ggml's graph alone, so no operation ends in a barrier;
// where our kernels have work to share they call Run, and whoever is awake takes pieces of it until none is left.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace sotto {

class Crew {
 public:
  // Computes one piece; `member` is 0 … size() - 1, and 0 for the thread that called Run.
  using Work = void (*)(void* data, int64_t piece, int member);

  // Of up to `members` threads, the caller of Run among them. Helpers without work spin for `spin_ms`, then sleep.
  Crew(int members, double spin_ms);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  int size() const { return int(helpers_.size()) + 1; }

  // Calls work(data, piece, member) for every piece below `pieces`, and returns when all have returned. One caller at a time.
  void Run(int64_t pieces, Work work, void* data);

 private:
  void Help(int member);
  bool TakePiece(int member);
  void Sleep(uint32_t heard);

  const double spin_ms_;
  // The call's number in the high half, how many of its pieces are left in the low half: while one is, nothing of the call changes, so
  // who takes one knows that what he read before belongs to it.
  alignas(64) std::atomic<uint64_t> left_{0};
  std::atomic<uint32_t> pieces_{0};
  std::atomic<Work> work_{nullptr};
  std::atomic<void*> data_{nullptr};
  alignas(64) std::atomic<uint32_t> done_{0};  // by helpers
  alignas(64) std::atomic<uint32_t> bell_{0};  // rings with every call
  std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> helpers_;
};

}  // namespace sotto
