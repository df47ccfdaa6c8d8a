#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "engine/stop-matcher.h"

namespace sotto {
namespace {

std::string Decode(const std::string& bytes) {
  std::string held;
  std::string text = TakeWholeCharacters(held, bytes);
  return held.empty() ? text : text + kReplacementCharacter;
}

TEST(Utf8, KeepsWhatIsValidAndReplacesWhatIsNot) {
  EXPECT_EQ(Decode("Grüße 日本語 🙂"), "Grüße 日本語 🙂");
  EXPECT_EQ(Decode("a\x80z"), "a\uFFFDz");
  EXPECT_EQ(Decode("\xC0\xAF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(Decode("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(Decode("\xF0\x90\x80z"), "\uFFFDz");                      // one for the maximal part
  EXPECT_EQ(Decode("\xF5\x80\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
}

TEST(Utf8, IsTheSameWhereverTheBytesAreCut) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += char(random() % 3 ? 0x80 + random() % 128 : random() % 128);
    std::string held, pieces;
    for (const char byte : bytes) pieces += TakeWholeCharacters(held, std::string(1, byte));
    if (!held.empty()) pieces += kReplacementCharacter;
    ASSERT_EQ(pieces, Decode(bytes));
  }
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStopString) {
  StopMatcher matcher({"END", "stop"});
  EXPECT_EQ(matcher.Push("a E").text, "a ");
  EXPECT_EQ(matcher.Push("N").text, "");
  EXPECT_EQ(matcher.Push("x").text, "ENx");
  const auto output = matcher.Push("yz stop after");
  EXPECT_EQ(output.text, "yz ");
  EXPECT_EQ(output.matched, 1);
}

TEST(StopMatcher, FlushesWhatItHeldWhenTheStreamEndsOtherwise) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.Push("x EN").text, "x ");
  EXPECT_EQ(matcher.Flush(), "EN");
}

// Against the obvious way: look for the first end of any stop string in the whole text.
TEST(StopMatcher, AgreesWithASearchOfTheWholeTextHoweverItIsCut) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops(1 + random() % 4);
    for (std::string& stop : stops) {
      for (size_t i = 0, size = 1 + random() % 4; i < size; ++i) stop += char('a' + random() % 2);
    }
    std::string text;
    for (int i = 0; i < 20; ++i) text += char('a' + random() % 3);
    size_t first_end = std::string::npos, start = 0;
    for (size_t end = 1; end <= text.size() && first_end == std::string::npos; ++end) {
      for (const std::string& stop : stops) {
        if (stop.size() > end || text.compare(end - stop.size(), stop.size(), stop) != 0) continue;
        // The longest one that ends here decides where the text stops.
        if (first_end == std::string::npos || end - stop.size() < start) start = end - stop.size();
        first_end = end;
      }
    }
    StopMatcher matcher(stops);
    std::string shown;
    bool matched = false;
    for (size_t at = 0; at < text.size() && !matched;) {
      const size_t size = 1 + random() % 5;
      const auto output = matcher.Push(text.substr(at, size));
      shown += output.text;
      matched = output.matched >= 0;
      at += size;
    }
    if (!matched) shown += matcher.Flush();
    ASSERT_EQ(matched, first_end != std::string::npos);
    ASSERT_EQ(shown, matched ? text.substr(0, start) : text);
  }
}

}  // namespace
}  // namespace sotto
