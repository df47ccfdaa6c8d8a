#include "engine/radix-tree.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sotto {
namespace {

using Tokens = std::vector<int32_t>;

TEST(RadixTree, FindsTheLongestPrefixThatAnyHolderHas) {
  RadixTree tree;
  tree.Append(1, Tokens{1, 2, 3, 4});
  tree.Append(2, Tokens{1, 2, 9});
  EXPECT_EQ(tree.Find(Tokens{1, 2, 3, 7}).length, 3);
  EXPECT_EQ(tree.Find(Tokens{1, 2, 3, 7}).holder, 1);
  EXPECT_EQ(tree.Find(Tokens{1, 2, 9, 9}).holder, 2);
  EXPECT_EQ(tree.Find(Tokens{5}).holder, -1);
}

TEST(RadixTree, ForgetsOnlyWhatNobodyElseHolds) {
  RadixTree tree;
  tree.Append(1, Tokens{1, 2, 3, 4});
  tree.Append(2, Tokens{1, 2});
  tree.Remove(1);
  EXPECT_EQ(tree.Find(Tokens{1, 2, 3, 4}).length, 2);
  tree.Remove(2);
  EXPECT_TRUE(tree.empty());
}

TEST(RadixTree, CountsSharedTokensOnce) {
  RadixTree tree;
  tree.Append(0, Tokens{1, 2, 3});
  tree.Append(1, Tokens{1, 2, 4, 5});
  RadixTree::Holders both;
  both.set(0).set(1);
  EXPECT_EQ(tree.CountTokens(both), 5);
  EXPECT_EQ(tree.CountTokens(RadixTree::Holders(1)), 3);
}

TEST(RadixTree, LeavesOutWhatTwoOfThemBeginWithUnlessAThirdHasItOfItsOwn) {
  RadixTree tree;
  tree.Append(0, Tokens{1, 2, 3, 4});
  tree.Append(1, Tokens{1, 2, 3, 5, 6});
  RadixTree::Holders holders;
  holders.set(0).set(1);
  EXPECT_EQ(tree.CountTokens(holders, std::vector<int>{3, 3}), 3);
  EXPECT_EQ(tree.CountTokens(holders, std::vector<int>{2, 3}), 4);
  EXPECT_EQ(tree.CountTokens(holders, std::vector<int>{4, 5}), 0);
  tree.Append(2, Tokens{1, 2, 3});
  holders.set(2);
  EXPECT_EQ(tree.CountTokens(holders, std::vector<int>{4, 5, 0}), 3);
}

TEST(RadixTree, FindsTheLongestWholePathThatTokensBeginWith) {
  RadixTree tree;
  tree.Append(0, Tokens{1, 2});
  tree.Append(1, Tokens{1, 2, 3, 4});
  tree.Append(2, Tokens{1, 2, 3, 4, 5, 6});
  RadixTree::Holders all;
  all.set(0).set(1).set(2);
  EXPECT_EQ(tree.FindWhole(Tokens{1, 2, 3, 4, 5, 7}, all).holder, 1);
  EXPECT_EQ(tree.FindWhole(Tokens{1, 2, 3, 7}, all).length, 2);
  EXPECT_EQ(tree.FindWhole(Tokens{1, 2, 3, 4, 5, 6}, all).holder, 2);
  EXPECT_EQ(tree.FindWhole(Tokens{1, 2, 3, 4, 5, 6}, all.reset(2)).holder, 1);
  EXPECT_EQ(tree.FindWhole(Tokens{1}, all).holder, -1);
}

// Against a model that keeps every path whole: random appends and removals over a tiny alphabet, so that splits, joins
// and shared tails all happen.
TEST(RadixTree, AgreesWithPlainPathsOverRandomOperations) {
  std::mt19937 random(7);
  RadixTree tree;
  std::map<int, Tokens> paths;
  for (int step = 0; step < 20000; ++step) {
    const int holder = int(random() % 12);
    if (random() % 4 == 0) {
      tree.Remove(holder);
      paths.erase(holder);
    } else {
      Tokens more(1 + random() % 5);
      for (int32_t& token : more) token = int32_t(random() % 2);
      tree.Append(holder, more);
      Tokens& path = paths[holder];
      path.insert(path.end(), more.begin(), more.end());
    }
    Tokens query(random() % 20);
    for (int32_t& token : query) token = int32_t(random() % 2);
    int longest = 0;
    for (const auto& [other, path] : paths) {
      int common = 0;
      while (common < int(std::min(path.size(), query.size())) && path[common] == query[common]) ++common;
      longest = std::max(longest, common);
    }
    const auto match = tree.Find(query);
    ASSERT_EQ(match.length, longest);
    if (longest > 0) {
      const Tokens& path = paths.at(match.holder);
      ASSERT_GE(int(path.size()), longest);
      ASSERT_TRUE(std::equal(path.begin(), path.begin() + longest, query.begin()));
    }
    ASSERT_EQ(tree.Length(holder), paths.count(holder) ? int(paths[holder].size()) : 0);
  }
}

}  // namespace
}  // namespace sotto
