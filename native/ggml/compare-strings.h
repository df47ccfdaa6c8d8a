// compare-strings.h: included before llama-vocab.cpp, which compares every token of a vocabulary with some sixty names of special tokens.
// Before GCC 14 a std::string is compared with a literal through two calls that nobody inlines, eight million of them for 128k tokens,
// a third of a vocabulary's load. An operator that is no template is chosen first, and says the same by looking at the lengths.
#pragma once

#include <cstring>
#include <string>

__attribute__((always_inline)) inline bool operator==(const std::string & text, const char * literal) {
    const size_t length = std::strlen(literal);  // a constant, at compile time
    return text.size() == length && std::memcmp(text.data(), literal, length) == 0;
}
