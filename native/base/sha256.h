// sha256.h: SHA-256 (FIPS 180-4), by the CPU's own instructions where it has them, which compute two gigabytes a second and more, else in plain C++.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sotto {

class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  enum class Instructions { kFastest, kPlain };
  explicit Sha256(Instructions instructions = Instructions::kFastest);

  void Update(const void* data, size_t bytes);
  Digest Finish();  // once, last

  // What the fastest path is made of here: "sha-ni", "armv8" or "plain".
  static const char* Fastest();

 private:
  // `state` goes on over whole blocks of 64 bytes.
  using Compress = void (*)(uint32_t* state, const uint8_t* blocks, size_t count);

  static Compress Choose(Instructions instructions);

  Compress compress_;
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> rest_{};  // what does not fill a block yet
  uint64_t bytes_ = 0;
};

// 64 hex digits, lower case.
std::string Hex(const Sha256::Digest& digest);

}  // namespace sotto
