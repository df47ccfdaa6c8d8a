#include "base/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#define SOTTO_SHA_NI 1
#include <immintrin.h>
#ifdef _MSC_VER
#include <intrin.h>
#define SOTTO_SHA_TARGET
#else
#include <cpuid.h>
#define SOTTO_SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#endif
#elif defined(__aarch64__) && (defined(__ARM_FEATURE_SHA2) || (defined(__linux__) && !defined(__clang__)))
#define SOTTO_SHA_ARM 1
#include <arm_neon.h>
#ifdef __ARM_FEATURE_SHA2
#define SOTTO_SHA_TARGET
#else
#include <sys/auxv.h>
#define SOTTO_SHA_TARGET __attribute__((target("+crypto")))
#endif
#endif

namespace sotto {
namespace {

constexpr size_t kBlock = 64;

constexpr std::array<uint32_t, 8> kStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

alignas(16) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t ReadBigEndian(const uint8_t* bytes) {
  return uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
}

void CompressPlain(uint32_t* state, const uint8_t* blocks, size_t count) {
  for (; count > 0; --count, blocks += kBlock) {
    uint32_t w[64];
    for (int t = 0; t < 16; ++t) w[t] = ReadBigEndian(blocks + 4 * t);
    for (int t = 16; t < 64; ++t) {
      const uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
      const uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; ++t) {
      const uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const uint32_t one = h + sum1 + ((e & f) ^ (~e & g)) + kRound[t] + w[t];
      const uint32_t two = sum0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + one;
      d = c, c = b, b = a, a = one + two;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

#if defined(SOTTO_SHA_NI)

// Four rounds with the words `w0`, which then become those of sixteen rounds later.
template <bool kMore>
SOTTO_SHA_TARGET inline void FourRounds(__m128i& abef, __m128i& cdgh, __m128i& w0, __m128i w1, __m128i w2, __m128i w3,
                                        const uint32_t* round) {
  const __m128i sum = _mm_add_epi32(w0, _mm_load_si128(reinterpret_cast<const __m128i*>(round)));
  cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
  abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
  if constexpr (kMore)
    w0 = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3);
}

template <bool kMore>
SOTTO_SHA_TARGET inline void SixteenRounds(__m128i& abef, __m128i& cdgh, __m128i& w0, __m128i& w1, __m128i& w2,
                                           __m128i& w3, const uint32_t* round) {
  FourRounds<kMore>(abef, cdgh, w0, w1, w2, w3, round);
  FourRounds<kMore>(abef, cdgh, w1, w2, w3, w0, round + 4);
  FourRounds<kMore>(abef, cdgh, w2, w3, w0, w1, round + 8);
  FourRounds<kMore>(abef, cdgh, w3, w0, w1, w2, round + 12);
}

SOTTO_SHA_TARGET inline __m128i LoadWords(const uint8_t* bytes) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)), swap);
}

SOTTO_SHA_TARGET void CompressFast(uint32_t* state, const uint8_t* blocks, size_t count) {
  // The instructions want a, b, e, f in one register and c, d, g, h in the other, the first of them on top.
  __m128i abef = _mm_set_epi32(int(state[0]), int(state[1]), int(state[4]), int(state[5]));
  __m128i cdgh = _mm_set_epi32(int(state[2]), int(state[3]), int(state[6]), int(state[7]));
  for (; count > 0; --count, blocks += kBlock) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w0 = LoadWords(blocks), w1 = LoadWords(blocks + 16), w2 = LoadWords(blocks + 32),
            w3 = LoadWords(blocks + 48);
    SixteenRounds<true>(abef, cdgh, w0, w1, w2, w3, kRound);
    SixteenRounds<true>(abef, cdgh, w0, w1, w2, w3, kRound + 16);
    SixteenRounds<true>(abef, cdgh, w0, w1, w2, w3, kRound + 32);
    SixteenRounds<false>(abef, cdgh, w0, w1, w2, w3, kRound + 48);
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  state[0] = uint32_t(_mm_extract_epi32(abef, 3)), state[1] = uint32_t(_mm_extract_epi32(abef, 2));
  state[4] = uint32_t(_mm_extract_epi32(abef, 1)), state[5] = uint32_t(_mm_extract_epi32(abef, 0));
  state[2] = uint32_t(_mm_extract_epi32(cdgh, 3)), state[3] = uint32_t(_mm_extract_epi32(cdgh, 2));
  state[6] = uint32_t(_mm_extract_epi32(cdgh, 1)), state[7] = uint32_t(_mm_extract_epi32(cdgh, 0));
}

bool HasInstructions() {
  constexpr uint32_t kSsse3 = 1u << 9, kSse41 = 1u << 19, kSha = 1u << 29;
#ifdef _MSC_VER
  int one[4], seven[4];
  __cpuid(one, 0);
  if (one[0] < 7) return false;
  __cpuidex(one, 1, 0);
  __cpuidex(seven, 7, 0);
  const uint32_t c1 = uint32_t(one[2]), b7 = uint32_t(seven[1]);
#else
  uint32_t a = 0, b7 = 0, c1 = 0, d = 0, b = 0, c = 0;
  if (!__get_cpuid(1, &a, &b, &c1, &d) || !__get_cpuid_count(7, 0, &a, &b7, &c, &d)) return false;
#endif
  return (c1 & kSsse3) && (c1 & kSse41) && (b7 & kSha);
}

constexpr const char* kFastName = "sha-ni";

#elif defined(SOTTO_SHA_ARM)

SOTTO_SHA_TARGET inline void FourRounds(uint32x4_t& abcd, uint32x4_t& efgh, uint32x4_t& w0, uint32x4_t w1,
                                        uint32x4_t w2, uint32x4_t w3, const uint32_t* round) {
  const uint32x4_t sum = vaddq_u32(w0, vld1q_u32(round)), before = abcd;
  abcd = vsha256hq_u32(abcd, efgh, sum);
  efgh = vsha256h2q_u32(efgh, before, sum);
  w0 = vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
}

SOTTO_SHA_TARGET inline uint32x4_t LoadWords(const uint8_t* bytes) {
  return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes)));
}

SOTTO_SHA_TARGET void CompressFast(uint32_t* state, const uint8_t* blocks, size_t count) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; count > 0; --count, blocks += kBlock) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w0 = LoadWords(blocks), w1 = LoadWords(blocks + 16), w2 = LoadWords(blocks + 32),
               w3 = LoadWords(blocks + 48);
    for (const uint32_t* round = kRound; round < kRound + 64; round += 16) {
      FourRounds(abcd, efgh, w0, w1, w2, w3, round);
      FourRounds(abcd, efgh, w1, w2, w3, w0, round + 4);
      FourRounds(abcd, efgh, w2, w3, w0, w1, round + 8);
      FourRounds(abcd, efgh, w3, w0, w1, w2, round + 12);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

bool HasInstructions() {
#ifdef __ARM_FEATURE_SHA2
  return true;  // the compiler may use them anyway
#else
  constexpr unsigned long kSha2 = 1ul << 6;  // HWCAP_SHA2
  return (getauxval(AT_HWCAP) & kSha2) != 0;
#endif
}

constexpr const char* kFastName = "armv8";

#else

bool HasInstructions() { return false; }
constexpr auto CompressFast = CompressPlain;
constexpr const char* kFastName = "plain";

#endif

}  // namespace

Sha256::Sha256(Instructions instructions) : compress_(Choose(instructions)), state_(kStart) {}

Sha256::Compress Sha256::Choose(Instructions instructions) {
  return instructions == Instructions::kFastest && HasInstructions() ? CompressFast : CompressPlain;
}

const char* Sha256::Fastest() { return HasInstructions() ? kFastName : "plain"; }

void Sha256::Update(const void* data, size_t bytes) {
  const uint8_t* from = static_cast<const uint8_t*>(data);
  const size_t held = bytes_ % kBlock;
  bytes_ += bytes;
  if (held > 0) {
    const size_t taken = std::min(bytes, kBlock - held);
    std::copy_n(from, taken, rest_.begin() + held);
    if (held + taken < kBlock) return;
    compress_(state_.data(), rest_.data(), 1);
    from += taken;
    bytes -= taken;
  }
  if (bytes >= kBlock) compress_(state_.data(), from, bytes / kBlock);
  std::copy_n(from + bytes / kBlock * kBlock, bytes % kBlock, rest_.begin());
}

Sha256::Digest Sha256::Finish() {
  const uint64_t bits = bytes_ * 8;
  // A one bit, zeros up to eight bytes before the end of a block, the length.
  std::array<uint8_t, kBlock + 8> end = {0x80};
  const size_t zeros = (kBlock + 56 - bytes_ % kBlock - 1) % kBlock;
  for (size_t i = 0; i < 8; ++i) end[1 + zeros + i] = uint8_t(bits >> (56 - 8 * i));
  Update(end.data(), 1 + zeros + 8);
  Digest digest;
  for (size_t i = 0; i < digest.size(); ++i) digest[i] = uint8_t(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

std::string Hex(const Sha256::Digest& digest) {
  std::string text;
  for (const uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace sotto
