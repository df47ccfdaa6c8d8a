// Who computes prompts: a crew where few threads compute or others want the cores, else ggml's pool.

#include "engine/prompt-threads.h"

#include <gtest/gtest.h>

namespace sotto {
namespace {

TEST(PromptThreads, TwoThreadsAndShortPromptsAreACrew) {
  const PromptThreads threads;
  EXPECT_TRUE(threads.Crew(2, 512));
  EXPECT_TRUE(threads.Crew(8, 8));
  EXPECT_FALSE(threads.Crew(8, 512));
}

TEST(PromptThreads, APoolThatIsStarvedGivesWayToACrewAndIsTriedAgain) {
  PromptThreads threads;
  threads.Measured(false, 8, 100, 790);
  EXPECT_FALSE(threads.Crew(8, 512));
  threads.Measured(false, 8, 100, 500);
  EXPECT_TRUE(threads.Crew(8, 512));
  int steps = 0;
  while (threads.Crew(8, 512) && steps < 1000) {
    threads.Measured(true, 8, 100, 500);
    ++steps;
  }
  EXPECT_EQ(steps, 20);
}

}  // namespace
}  // namespace sotto
