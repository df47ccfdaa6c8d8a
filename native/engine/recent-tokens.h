// recent-tokens.h: the tokens that a penalty may move: those among the last few of the text, each once and in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>

namespace sotto {

class RecentTokens {
 public:
  // Of the last `window` tokens; 0: none.
  explicit RecentTokens(int32_t window = 0) : window_(size_t(window)) {}

  void Accept(int32_t token) {
    if (window_ == 0) return;
    text_.push_back(token);
    ++counts_[token];
    if (text_.size() <= window_) return;
    const auto oldest = counts_.find(text_.front());
    if (--oldest->second == 0) counts_.erase(oldest);
    text_.pop_front();
  }

  void AcceptForGood(int32_t token) { ++counts_[token]; }

  // By token, how often.
  const std::map<int32_t, int32_t>& counts() const { return counts_; }

 private:
  size_t window_;
  std::deque<int32_t> text_;
  std::map<int32_t, int32_t> counts_;
};

}  // namespace sotto
