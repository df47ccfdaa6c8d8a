// detokenizer.h: token by token to text that ends on a character. Holds back an unfinished UTF-8 character: a client
// that stores U+FFFD sends it back and misses the prefix cache.
#pragma once

#include <llama.h>

#include <string>
#include <utility>
#include <vector>

namespace sotto {

class Detokenizer {
 public:
  // `rendered`: control tokens that are text here; all others are silent.
  Detokenizer(const llama_vocab* vocab, std::vector<int32_t> rendered)
      : vocab_(vocab), rendered_(std::move(rendered)) {}
  // The whole characters that `token` completes; invalid bytes become U+FFFD. O(bytes of the token).
  std::string Push(llama_token token);
  // What is still held back at the end, with U+FFFD for an unfinished character.
  std::string Flush();

 private:
  const llama_vocab* vocab_;
  std::vector<int32_t> rendered_;  // a handful
  std::string held_;               // at most 3 bytes
};

}  // namespace sotto
