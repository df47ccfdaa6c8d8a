// speculation-test.cpp: what is proposed, and when it is worth its rows.

#include "engine/speculation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/ngram-index.h"
#include "engine/step-costs.h"

namespace sotto {
namespace {

NgramIndex IndexOf(std::initializer_list<int32_t> tokens) {
  NgramIndex index;
  for (const int32_t token : tokens) index.Append(token);
  return index;
}

std::vector<int32_t> Proposed(NgramIndex& index, int count) {
  std::vector<int32_t> tokens;
  if (index.Match() == 0) return tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(index.Proposal(i));
  return tokens;
}

TEST(NgramIndexTest, ProposesWhatFollowedTheSamePair) {
  NgramIndex index = IndexOf({1, 2, 3, 4, 5, 6, 1, 2});
  EXPECT_EQ(index.Match(), 2);
  EXPECT_EQ(Proposed(index, 3), (std::vector<int32_t>{3, 4, 5}));
}

TEST(NgramIndexTest, FindsNothingWhereNoPairRepeats) {
  for (NgramIndex index : {IndexOf({}), IndexOf({7}), IndexOf({1, 2, 3}), IndexOf({1, 2, 3, 2, 1})}) {
    EXPECT_EQ(index.Match(), 0);
  }
}

TEST(NgramIndexTest, PrefersTheLongerPassageAndOfEqualsTheLater) {
  NgramIndex longer = IndexOf({9, 1, 2, 30, 8, 1, 2, 40, 9, 1, 2});
  EXPECT_EQ(longer.Match(), 3);
  EXPECT_EQ(longer.Proposal(0), 30);
  NgramIndex later = IndexOf({7, 1, 2, 30, 8, 1, 2, 40, 9, 1, 2});
  EXPECT_EQ(later.Match(), 2);
  EXPECT_EQ(later.Proposal(0), 40);
}

TEST(NgramIndexTest, FollowsAPassageAndLeavesIt) {
  NgramIndex index = IndexOf({1, 2, 3, 4, 5, 1, 2});
  EXPECT_EQ(index.Match(), 2);
  index.Append(3);
  EXPECT_EQ(index.Match(), 3);
  EXPECT_EQ(index.Proposal(0), 4);
  index.Append(9);
  EXPECT_EQ(index.Match(), 0);
}

TEST(NgramIndexTest, GoesOnRepeatingWhatRepeats) {
  NgramIndex index = IndexOf({1, 2, 3, 1, 2, 3});
  EXPECT_EQ(Proposed(index, 7), (std::vector<int32_t>{1, 2, 3, 1, 2, 3, 1}));
}

TEST(NgramIndexTest, FindsAPassageOfLongAgo) {
  NgramIndex index;
  for (int i = 0; i < 100000; ++i) index.Append(i);
  for (int i = 500; i < 503; ++i) index.Append(i);
  EXPECT_EQ(index.Match(), 3);
  EXPECT_EQ(index.Proposal(0), 503);
}

TEST(StepCostsTest, GuessesFromWhatWasMeasured) {
  StepCosts costs;
  EXPECT_EQ(costs.Of(4), 0);
  costs.Measured(1, 10);
  EXPECT_DOUBLE_EQ(costs.Of(5), 14);
  costs.Prefilled(3);
  EXPECT_DOUBLE_EQ(costs.Of(5), 22);
  costs.Measured(1, 10);
  costs.Measured(9, 30);
  costs.Measured(9, 18);
  EXPECT_LT(costs.Of(9), 30);
  EXPECT_NEAR(costs.Of(5), (costs.Of(1) + costs.Of(9)) / 2, 1e-9);
}

TEST(StepCostsTest, ForgetsWhatWasLongAgo) {
  StepCosts costs;
  costs.Measured(1, 10);
  costs.Measured(8, 1000);
  for (int i = 0; i < 1000; ++i) costs.Measured(1, 10);
  EXPECT_LT(costs.Of(8), 100);
}

TEST(StepCostsTest, ANewNumberOfRowsCostsItsGraphThereAndBack) {
  StepCosts costs;
  for (int i = 0; i < 8; ++i) costs.Measured(1, 10);
  for (int i = 0; i < 8; ++i) costs.Measured(4, 12);
  costs.Measured(1, 15);
  EXPECT_DOUBLE_EQ(costs.Of(1), 10);
  EXPECT_GE(costs.Next(4, 1), costs.Of(4) + 4);
  EXPECT_DOUBLE_EQ(costs.Next(1, 1), 10);
}

Proposal Of(std::initializer_list<float> chances) {
  Proposal proposal;
  proposal.chances = chances;
  return proposal;
}

// Steps of one row take 10 ms, each further one `row` more.
StepCosts Costs(double row) {
  StepCosts costs;
  for (int rows = 1; rows <= 32; ++rows) costs.Measured(rows, 10 + (rows - 1) * row);
  costs.Prefilled(0);
  return costs;
}

std::vector<int> Choose(const std::vector<Proposal>& proposals, double row, double other = 0, int room = 15) {
  return ChooseDrafts(proposals, Costs(row), other, room);
}

TEST(ChooseDraftsTest, DraftsWhatIsLikelyWhereRowsAreCheap) {
  const Proposal sure = Of({0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f});
  EXPECT_EQ(Choose({sure}, 0.2), std::vector<int>{8});
  EXPECT_EQ(Choose({sure}, 12), std::vector<int>{0});
  EXPECT_EQ(Choose({Of({0.1f, 0.1f})}, 2), std::vector<int>{0});
  const int few = Choose({Of({0.6f, 0.6f, 0.6f, 0.6f, 0.6f, 0.6f})}, 2)[0];
  EXPECT_GT(few, 0);
  EXPECT_LT(few, 6);
}

TEST(ChooseDraftsTest, DraftsNothingBeforeAStepWasMeasured) {
  EXPECT_EQ(ChooseDrafts(std::vector{Of({1, 1})}, StepCosts(), 0, 15), std::vector<int>{0});
}

TEST(ChooseDraftsTest, GivesTheRowsToThoseWhoUseThem) {
  const std::vector<int> counts = Choose({Of({0.9f, 0.9f, 0.9f}), Of({}), Of({0.02f, 0.02f})}, 0.05);
  EXPECT_EQ(counts, (std::vector<int>{3, 0, 0}));
}

TEST(ChooseDraftsTest, DoesNotSlowOthersDownForOne) {
  const Proposal sure = Of({1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  // Ten more rows would double the step, and one of two would wait for the other.
  EXPECT_LE(Choose({sure, Of({})}, 1)[0], 2);
  EXPECT_EQ(Choose({sure, sure}, 1, 0, 20), (std::vector<int>{10, 10}));
}

TEST(ChooseDraftsTest, StaysWithinItsRoom) {
  const Proposal sure = Of({1, 1, 1, 1, 1, 1, 1, 1});
  const std::vector<int> counts = Choose({sure, sure}, 0.01, 0, 5);
  EXPECT_EQ(counts[0] + counts[1], 5);
  Proposal always = Of({0.1f, 0.1f, 0.1f});
  always.always = true;
  EXPECT_EQ(Choose({always}, 100, 0, 2), std::vector<int>{2});
  EXPECT_EQ(Choose({always}, 100, 0, 0), std::vector<int>{0});
}

TEST(ChooseDraftsTest, WeighsWhatADraftModelTakes) {
  Proposal slow = Of({0.8f, 0.8f, 0.8f, 0.8f});
  slow.token_ms = 9;
  EXPECT_EQ(Choose({slow}, 0.1), std::vector<int>{0});
  slow.token_ms = 1;
  EXPECT_GT(Choose({slow}, 0.1)[0], 1);
}

TEST(ChooseDraftsTest, DraftsMoreWhereAStepIsLongAnyway) {
  const Proposal maybe = Of({0.5f, 0.5f, 0.5f, 0.5f, 0.5f});
  EXPECT_LT(Choose({maybe}, 3)[0], Choose({maybe}, 3, 100)[0]);
}

TEST(SpeculationTest, LearnsFromTheAnswerWhetherTheTextRepeats) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < 200; ++i) prompt.push_back(i % 50);
  std::vector<int32_t> copy = prompt, other = prompt;
  Speculation copying(SpeculationMode::kAuto, 200), strange(SpeculationMode::kAuto, 200);
  for (int i = 0; i < 60; ++i) {
    copy.push_back(i % 50);
    other.push_back(i % 3 == 2 ? 1000 + i : i % 50);  // a pair that is known, then something else
    copying.Learn(copy);
    strange.Learn(other);
  }
  EXPECT_GT(copying.FromText(4).chances.at(0), 0.9f);
  other.push_back(0);
  other.push_back(1);
  strange.Learn(other);
  ASSERT_EQ(strange.FromText(4).chances.size(), 4u);
  EXPECT_LT(strange.FromText(4).chances[0], 0.1f);
  copying.Forget(3);
  copying.Learn(std::vector<int32_t>{1, 2, 3});
  EXPECT_TRUE(copying.FromText(4).chances.empty());
}

TEST(SpeculationTest, ADraftModelThatFailsIsLeftAloneAndTriedAgain) {
  Speculation speculation(SpeculationMode::kAuto, 1);
  std::vector<int32_t> tokens = {1};
  const float first = speculation.FromDraft(1, 1).chances.at(0);
  for (int i = 0; i < 50; ++i) speculation.DraftVerified(4, 0);
  EXPECT_LT(speculation.FromDraft(1, 1).chances.at(0), 0.1f);
  for (int i = 0; i < 2000; ++i) tokens.push_back(i);
  speculation.Learn(tokens);
  EXPECT_GT(speculation.FromDraft(1, 1).chances.at(0), 0.9f * first);
}

}  // namespace
}  // namespace sotto
