#include "engine/detokenizer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "engine/tokenizer.h"

namespace sotto {

std::string Detokenizer::Push(llama_token token) {
  const bool special = std::find(rendered_.begin(), rendered_.end(), token) != rendered_.end();
  return TakeWholeCharacters(held_, TokenBytes(vocab_, token, special));
}

std::string Detokenizer::Flush() { return std::exchange(held_, {}).empty() ? std::string() : kReplacementCharacter; }

}  // namespace sotto
