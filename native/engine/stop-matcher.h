// stop-matcher.h: holds back text that may be the beginning of a stop string, so that no reader ever sees part of one.
// Aho–Corasick over bytes: O(bytes) per push for any number of stop strings (10^5 of them must not slow a stream).
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace sotto {

class StopMatcher {
 public:
  explicit StopMatcher(const std::vector<std::string>& stops);
  ~StopMatcher();

  struct Output {
    std::string text;  // safe to show
    int matched = -1;  // index of the stop string that ended the text, or -1
  };
  Output Push(const std::string& text);
  std::string Flush();  // what was held back, when the stream ends otherwise

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null when there are no stop strings: Push passes through
};

}  // namespace sotto
