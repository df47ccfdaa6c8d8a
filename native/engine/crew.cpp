#include "engine/crew.h"

#include <chrono>
#include <system_error>

#include "base/cpu-time.h"
#include "base/log.h"
#include "engine/rest-policy.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace sotto {
namespace {

constexpr int kSpins = 64;         // between two looks at the clock
constexpr int kSpinsAlone = 4096;  // until a core is left to whoever holds the last piece, in case it is the same one

void Pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ volatile("yield" ::: "memory");
#endif
}

double NowMs() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Crew::Crew(int members, double spin_ms) : spin_ms_(spin_ms) {
  helpers_.reserve(size_t(members > 1 ? members - 1 : 0));
  for (int member = 1; member < members; ++member) {
    try {
      helpers_.emplace_back([this, member] { Help(member); });
    } catch (const std::system_error& error) {
      Log(LogLevel::kWarn, std::string("No more threads are to be had, going on with fewer: ") + error.what());
      break;
    }
  }
}

Crew::~Crew() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Crew::Run(int64_t pieces, Work work, void* data) {
  // Whoever still reads these will find that no piece of the call before is left.
  work_.store(work, std::memory_order_relaxed);
  data_.store(data, std::memory_order_relaxed);
  pieces_.store(uint32_t(pieces), std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  left_.store((((left_.load(std::memory_order_relaxed) >> 32) + 1) << 32) | uint32_t(pieces),
              std::memory_order_release);
  bell_.fetch_add(1);  // before the sleepers are counted, as they count themselves before they look at it
  if (asleep_.load() > 0) {
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  uint32_t own = 0;
  while (TakePiece(0)) ++own;
  for (int spins = 0; done_.load(std::memory_order_acquire) + own < uint32_t(pieces); ++spins) {
    if (spins < kSpinsAlone) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

bool Crew::TakePiece(int member) {
  uint64_t left = left_.load(std::memory_order_acquire);
  while (uint32_t(left) > 0) {
    const Work work = work_.load(std::memory_order_relaxed);
    void* data = data_.load(std::memory_order_relaxed);
    const uint32_t piece = pieces_.load(std::memory_order_relaxed) - uint32_t(left);
    if (!left_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    work(data, int64_t(piece), member);
    return true;
  }
  return false;
}

void Crew::Help(int member) {
  RestPolicy rest;
  double begin = NowMs(), cpu_begin = ThreadCpuMs(), now = begin, idle_since = begin;
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint32_t heard = bell_.load();
    uint32_t taken = 0;
    bool due = false;
    while (!due && TakePiece(member)) {
      ++taken;
      now = NowMs();
      due = now - begin >= rest.window_ms();
    }
    if (taken > 0) {
      done_.fetch_add(taken, std::memory_order_release);
      idle_since = now;
      if (!due || cpu_begin < 0) continue;
      const double ms = rest.Worked(now - begin, ThreadCpuMs() - cpu_begin);
      if (ms < 0) continue;
      if (ms > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(ms));
    } else {
      for (int i = 0; i < kSpins && uint32_t(left_.load(std::memory_order_relaxed)) == 0; ++i) Pause();
      if (NowMs() - idle_since < spin_ms_) continue;
      Sleep(heard);
    }
    begin = idle_since = NowMs();
    cpu_begin = ThreadCpuMs();
  }
}

void Crew::Sleep(uint32_t heard) {
  std::unique_lock lock(mutex_);
  asleep_.fetch_add(1);
  wake_.wait(lock, [&] { return stop_.load() || bell_.load() != heard; });
  asleep_.fetch_sub(1);
}

}  // namespace sotto
