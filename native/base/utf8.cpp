#include "base/utf8.h"

#include <cstdint>

namespace sotto {
namespace {

struct Lead {
  int length = 0;  // 0: not a first byte
  uint8_t low = 0x80,
          high = 0xBF;  // range of the second byte: no overlong forms, no surrogates, nothing above U+10FFFF
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte >= 0xC2 && byte <= 0xDF) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

}  // namespace

std::string TakeWholeCharacters(std::string& held, std::string_view bytes) {
  std::string joined;
  if (!held.empty()) {
    joined = held + std::string(bytes);
    held.clear();
    bytes = joined;
  }
  std::string text;
  text.reserve(bytes.size());
  size_t i = 0;
  while (i < bytes.size()) {
    const Lead lead = LeadOf(uint8_t(bytes[i]));
    if (lead.length == 0) {
      text += kReplacementCharacter;
      ++i;
      continue;
    }
    int good = 1;
    while (good < lead.length && i + size_t(good) < bytes.size()) {
      const uint8_t next = uint8_t(bytes[i + size_t(good)]);
      const uint8_t low = good == 1 ? lead.low : 0x80, high = good == 1 ? lead.high : 0xBF;
      if (next < low || next > high) break;
      ++good;
    }
    if (good == lead.length) {
      text.append(bytes.substr(i, size_t(good)));
    } else if (i + size_t(good) == bytes.size()) {
      held.assign(bytes.substr(i));
      return text;
    } else {
      text += kReplacementCharacter;
    }
    i += size_t(good);
  }
  return text;
}

}  // namespace sotto
