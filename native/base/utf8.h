// utf8.h: cutting a byte stream into whole characters. Invalid bytes become U+FFFD as in the WHATWG Encoding Standard
// (one for each maximal part of a character), so that text is the same whether it is decoded here or by TextDecoder.
#pragma once

#include <string>
#include <string_view>

namespace sotto {

inline constexpr const char* kReplacementCharacter = "\xEF\xBF\xBD";

// Appends `bytes` to what `held` kept back, returns the whole characters, and leaves an unfinished one (at most 3
// bytes) in `held`. O(bytes).
std::string TakeWholeCharacters(std::string& held, std::string_view bytes);

}  // namespace sotto
