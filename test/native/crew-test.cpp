// A crew shares work among threads that come and go; when its threads rest, with simulated time.

#include "engine/crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "engine/rest-policy.h"

namespace sotto {
namespace {

struct Counted {
  std::vector<std::atomic<int>> times;
  std::atomic<int> strangers{0};
  int members;
};

void Count(Crew& crew, int64_t pieces) {
  Counted counted{std::vector<std::atomic<int>>(size_t(pieces)), {}, crew.size()};
  crew.Run(
      pieces,
      [](void* data, int64_t piece, int member) {
        Counted& all = *static_cast<Counted*>(data);
        ++all.times[size_t(piece)];
        if (member < 0 || member >= all.members) ++all.strangers;
      },
      &counted);
  for (const std::atomic<int>& times : counted.times) ASSERT_EQ(times, 1) << "of " << pieces << " pieces";
  ASSERT_EQ(counted.strangers, 0);
}

TEST(Crew, EveryPieceIsDoneOnceWhateverTheCallsBeforeWereLike) {
  Crew crew(4, 1);
  EXPECT_EQ(crew.size(), 4);
  for (int i = 0; i < 20000; ++i) Count(crew, 1 + i * 7 % 37);
}

TEST(Crew, HelpersThatSleepAreWokenAndThoseThatStillDoLeaveAtTheEnd) {
  for (int i = 0; i < 200; ++i) {
    Crew crew(3, 0);
    for (int call = 0; call < i % 5; ++call) Count(crew, 50);
  }
}

TEST(Crew, AloneItDoesEverything) {
  Crew crew(1, 1);
  EXPECT_EQ(crew.size(), 1);
  Count(crew, 100);
}

// A thread in time: it has `share` of its core, in turns of `turn` ms, and a debt when it ran longer than that.
struct Core {
  RestPolicy policy;
  double now = 0, worked = 0, put_aside = 0, rested = 0;

  void Run(double ms, double share, double turn = 4) {
    double credit = turn * share;
    for (const double end = now + ms; now < end;) {
      double wall = 0, cpu = 0, rest = -1;
      while (rest < 0) {
        wall += 0.1;
        cpu += 0.1;
        credit -= 0.1 * (1 - share);
        if (credit < 0) {  // the others' turn
          wall += turn;
          put_aside += turn;
          credit += turn * share;
        }
        if (wall >= policy.window_ms()) rest = policy.Worked(wall, cpu);
      }
      worked += cpu;
      now += wall + rest;
      rested += rest;
      credit = std::min(turn * share, credit + rest * share);
    }
  }
};

TEST(RestPolicy, NobodyRestsWhileNobodyElseWantsTheCore) {
  Core core;
  core.Run(10000, 1);
  EXPECT_EQ(core.rested, 0);
}

TEST(RestPolicy, WhatComesAndGoesIsNotWorthARest) {
  Core core;
  for (int i = 0; i < 100; ++i) {
    core.Run(100, 1);
    core.Run(1, 0.5);
  }
  EXPECT_LT(core.rested, 0.02 * core.now);
}

TEST(RestPolicy, BesideABusyProgramItRestsBeforeItIsPutAside) {
  Core core;
  core.Run(1000, 0.5);
  core.put_aside = core.worked = 0;
  const double begin = core.now;
  core.Run(10000, 0.5);
  EXPECT_LT(core.put_aside, 0.12 * (core.now - begin));
  EXPECT_GT(core.worked, 0.4 * (core.now - begin));
}

TEST(RestPolicy, WhenTheOtherHasGoneItWorksAllTheTimeAgain) {
  Core core;
  core.Run(5000, 0.5);
  core.Run(10000, 1);
  core.rested = 0;
  core.Run(5000, 1);
  EXPECT_EQ(core.rested, 0);
}

}  // namespace
}  // namespace sotto
