// How many threads compute when the machine is quiet, shared, and quiet again; time is simulated.

#include "engine/thread-governor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sotto {
namespace {

// What a step costs with a number of threads.
using Cost = std::function<double(int threads)>;

struct Machine {
  ThreadGovernor governor;
  double now = 0;
  double fewest = 1e9;

  // For `ms`; `share` is what the threads get of the time they want.
  void Run(double ms, const Cost& cost, double share, int tokens = 1) {
    fewest = 1e9;
    for (const double end = now + ms; now < end;) {
      const int threads = governor.threads();
      const double step = cost(threads);
      now += step;
      fewest = std::min(fewest, double(threads));
      governor.Measured(tokens, step, step * threads * share);
    }
  }
};

double Quiet(int threads) { return 12.0 / threads; }
// The steps of threads that wait for one that was put aside.
double Crowded(int threads) { return threads == 1 ? 14 : 60; }

TEST(ThreadGovernor, OnAQuietMachineAllThreadsComputeAllTheTime) {
  Machine machine{ThreadGovernor(4)};
  machine.Run(60000, Quiet, 1);
  EXPECT_EQ(machine.fewest, 4);
}

TEST(ThreadGovernor, StarvedThreadsGiveWayToFewerThatAreFasterAndComeBack) {
  Machine machine{ThreadGovernor(2)};
  machine.Run(2000, Quiet, 1);
  machine.Run(3000, Crowded, 0.66);
  EXPECT_EQ(machine.governor.threads(), 1);
  machine.Run(10000, Quiet, 1);
  EXPECT_EQ(machine.governor.threads(), 2);
}

TEST(ThreadGovernor, TheFirstStepsNeedNoQuietTimeToCompareWith) {
  Machine machine{ThreadGovernor(2)};
  machine.Run(3000, Crowded, 0.66);
  EXPECT_EQ(machine.governor.threads(), 1);
}

TEST(ThreadGovernor, ASlowdownWithoutStarvationIsTriedToo) {
  Machine machine{ThreadGovernor(2)};
  machine.Run(2000, Quiet, 1);
  machine.Run(3000, Crowded, 1);
  EXPECT_EQ(machine.governor.threads(), 1);
}

TEST(ThreadGovernor, ThreadsThatAreStarvedButFasterStay) {
  Machine machine{ThreadGovernor(2)};
  machine.Run(60000, Quiet, 0.7);
  EXPECT_EQ(machine.governor.threads(), 2);
  // And trials are rare.
  double steps = 0, all = 0;
  for (const double end = machine.now + 60000; machine.now < end; ++steps) {
    const int threads = machine.governor.threads();
    machine.now += Quiet(threads);
    all += threads == 2;
    machine.governor.Measured(1, Quiet(threads), 0.7 * threads * Quiet(threads));
  }
  EXPECT_GT(all / steps, 0.98);
}

TEST(ThreadGovernor, ManyThreadsFindTheirNumberStepByStep) {
  const auto cost = [](int threads) { return threads > 5 ? 80.0 : 40.0 / threads; };
  Machine machine{ThreadGovernor(8)};
  machine.Run(20000, cost, 0.7);
  machine.Run(500, cost, 0.7);
  EXPECT_LE(machine.fewest, 5);
  EXPECT_GE(machine.fewest, 3);
}

TEST(ThreadGovernor, ALongerContextIsNoSlowdown) {
  Machine machine{ThreadGovernor(2)};
  double grown = 1;
  const auto cost = [&](int threads) { return (grown += 0.0005) * 12 / threads; };
  machine.Run(20000, cost, 1);
  EXPECT_EQ(machine.fewest, 2);
}

TEST(ThreadGovernor, MoreSequencesInAStepAreNoSlowdown) {
  Machine machine{ThreadGovernor(2)};
  machine.Run(1000, Quiet, 1);
  machine.Run(
      1000, [](int threads) { return 30.0 / threads; }, 1, 8);
  EXPECT_EQ(machine.fewest, 2);
}

TEST(ThreadGovernor, OneThreadIsNeverLess) {
  Machine machine{ThreadGovernor(1)};
  machine.Run(5000, Crowded, 0.1);
  EXPECT_EQ(machine.governor.threads(), 1);
}

}  // namespace
}  // namespace sotto
