// tokenizer.h: text to tokens. Stateless; upstream's tokenizer is thread-safe.
#pragma once

#include <llama.h>

#include <string>
#include <string_view>
#include <vector>

namespace sotto {

std::vector<llama_token> Tokenize(const llama_vocab* vocab, std::string_view text, bool add_special,
                                  bool parse_special);

// Tokens to UTF-8 (bytes that are not UTF-8 become U+FFFD). `special`: render control tokens.
std::string Detokenize(const llama_vocab* vocab, const std::vector<llama_token>& tokens, bool special);

// The bytes of one token, possibly part of a character.
std::string TokenBytes(const llama_vocab* vocab, llama_token token, bool special);

}  // namespace sotto
