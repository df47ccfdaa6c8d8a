#include "engine/tokenizer.h"

#include <algorithm>
#include <climits>

#include "base/error.h"
#include "base/utf8.h"

namespace sotto {

std::vector<llama_token> Tokenize(const llama_vocab* vocab, std::string_view text, bool add_special,
                                  bool parse_special) {
  if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
    throw Error(ErrorCode::kModelUnsupported, "The model has no vocabulary: pass tokens instead of text");
  }
  if (text.size() > size_t(INT32_MAX) / 2) {
    throw Error(ErrorCode::kPromptTooLong,
                "Expected a text of less than 1 GiB, received " + std::to_string(text.size()) + " bytes");
  }
  // A token has at least one byte, but for the special ones: the first call nearly always has room enough.
  std::vector<llama_token> tokens(text.size() + 2);
  int32_t count = llama_tokenize(vocab, text.data(), int32_t(text.size()), tokens.data(), int32_t(tokens.size()),
                                 add_special, parse_special);
  if (count == INT32_MIN) throw Error(ErrorCode::kPromptTooLong, "The text has more tokens than can be counted");
  if (count < 0) {
    tokens.resize(size_t(-count));
    count = llama_tokenize(vocab, text.data(), int32_t(text.size()), tokens.data(), int32_t(tokens.size()), add_special,
                           parse_special);
  }
  tokens.resize(size_t(std::max(count, 0)));
  return tokens;
}

std::string TokenBytes(const llama_vocab* vocab, llama_token token, bool special) {
  // Upstream asserts on a model that has no vocabulary.
  if (token < 0 || token >= llama_vocab_n_tokens(vocab) || llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) return {};
  std::string bytes(32, '\0');
  int32_t length = llama_token_to_piece(vocab, token, bytes.data(), int32_t(bytes.size()), 0, special);
  if (length < 0) {
    bytes.resize(size_t(-length));
    length = llama_token_to_piece(vocab, token, bytes.data(), int32_t(bytes.size()), 0, special);
  }
  bytes.resize(size_t(std::max(length, 0)));
  return bytes;
}

std::string Detokenize(const llama_vocab* vocab, const std::vector<llama_token>& tokens, bool special) {
  for (const llama_token token : tokens) {
    if (token >= 0 && token < llama_vocab_n_tokens(vocab)) continue;
    throw Error(ErrorCode::kPromptInvalid, "Expected tokens from 0 to " +
                                               std::to_string(llama_vocab_n_tokens(vocab) - 1) + ", received " +
                                               std::to_string(token));
  }
  std::string text(tokens.size() * 8 + 16, '\0');
  int32_t length =
      llama_detokenize(vocab, tokens.data(), int32_t(tokens.size()), text.data(), int32_t(text.size()), false, special);
  if (length < 0) {
    text.resize(size_t(-length));
    length = llama_detokenize(vocab, tokens.data(), int32_t(tokens.size()), text.data(), int32_t(text.size()), false,
                              special);
  }
  text.resize(size_t(std::max(length, 0)));
  std::string held;
  std::string valid = TakeWholeCharacters(held, text);
  return valid + (held.empty() ? "" : kReplacementCharacter);
}

}  // namespace sotto
