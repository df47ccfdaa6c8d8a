#include "base/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace sotto {
namespace {

using Instructions = Sha256::Instructions;

std::string DigestOf(const std::string& text, Instructions instructions, size_t piece = SIZE_MAX) {
  Sha256 hash(instructions);
  for (size_t at = 0; at < text.size(); at += std::min(piece, text.size() - at))
    hash.Update(text.data() + at, std::min(piece, text.size() - at));
  return Hex(hash.Finish());
}

std::string Bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = char(i * 131 + (i >> 8));
  return bytes;
}

class Sha256Test : public testing::TestWithParam<Instructions> {};
INSTANTIATE_TEST_SUITE_P(Paths, Sha256Test, testing::Values(Instructions::kFastest, Instructions::kPlain),
                         [](const auto& info) { return info.param == Instructions::kPlain ? "Plain" : "Fastest"; });

// FIPS 180-2, appendix B, and the empty message of NIST's short-message vectors.
TEST_P(Sha256Test, VectorsOfTheStandard) {
  EXPECT_EQ(DigestOf("", GetParam()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(DigestOf("abc", GetParam()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(DigestOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", GetParam()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(DigestOf(std::string(1'000'000, 'a'), GetParam()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// The digest of the digests of Bytes(0) … Bytes(300), as node:crypto computes it.
TEST_P(Sha256Test, EveryLengthUpTo300) {
  Sha256 all(GetParam());
  for (size_t length = 0; length <= 300; ++length) {
    const std::string digest = DigestOf(Bytes(length), GetParam());
    all.Update(digest.data(), digest.size());
  }
  EXPECT_EQ(Hex(all.Finish()), "6c4cd1601bec838db3f3e5a9ae4af1b7af5732c0f4c1a4a999eb18688a3b0a4b");
}

TEST_P(Sha256Test, PiecesOfAnySizeMakeTheSameDigest) {
  const std::string bytes = Bytes(1000);
  for (const size_t piece : {1, 3, 63, 64, 65, 127, 128, 300, 999})
    EXPECT_EQ(DigestOf(bytes, GetParam(), piece), DigestOf(bytes, GetParam())) << piece;
}

TEST(Sha256, BothPathsAgreeOnEveryLength) {
  for (size_t length = 0; length <= 300; ++length)
    EXPECT_EQ(DigestOf(Bytes(length), Instructions::kFastest), DigestOf(Bytes(length), Instructions::kPlain)) << length;
}

}  // namespace
}  // namespace sotto
