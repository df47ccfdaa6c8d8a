#include "base/turnstile.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace sotto {
namespace {

const auto kNever = [] { return false; };

TEST(Turnstile, OneWhoComesBackAtOnceDoesNotOvertake) {
  Turnstile turnstile;
  std::atomic<bool> stop{false};
  std::atomic<int> greedy_turns{0};
  std::thread greedy([&] {
    while (!stop) {
      const auto turn = turnstile.Enter(kNever);
      ++greedy_turns;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  while (greedy_turns < 3) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    const int before = greedy_turns;
    const auto turn = turnstile.Enter(kNever);
    // The one who was inside, and at most one who had come between the count and the queue.
    EXPECT_LE(greedy_turns - before, 2);
  }
  stop = true;
  greedy.join();
}

TEST(Turnstile, OneIsInsideAtATime) {
  Turnstile turnstile;
  std::atomic<int> inside{0};
  int total = 0;  // guarded by the turn: the thread sanitizer watches
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 500; ++j) {
        const auto turn = turnstile.Enter(kNever);
        EXPECT_EQ(++inside, 1);
        ++total;
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, 4000);
}

TEST(Turnstile, WhoGivesUpLeavesTheLineAndHoldsUpNobody) {
  Turnstile turnstile;
  std::atomic<bool> closing{false}, behind_had_its_turn{false};
  std::thread quitter, behind;
  {
    const auto turn = turnstile.Enter(kNever);
    quitter = std::thread([&] { EXPECT_FALSE(turnstile.Enter([&] { return closing.load(); })); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    behind = std::thread([&] { behind_had_its_turn = bool(turnstile.Enter(kNever)); });
    closing = true;
    quitter.join();  // while the turn is still held
    EXPECT_FALSE(behind_had_its_turn);
  }
  behind.join();
  EXPECT_TRUE(behind_had_its_turn);
}

}  // namespace
}  // namespace sotto
