// limits.cpp: what this machine can do at most: bytes read from memory and multiplications and additions of each kind a second, with
// 1 and with N threads. Compiled with -march=native; prints one line of JSON. A kind that the CPU lacks is not in it.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTries = 5;
constexpr long kRounds = 4'000'000;  // some ten milliseconds

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Work a second of `threads` at once; the best of a few tries, because every disturbance makes it less.
double best_rate(int threads, double work, const std::function<void(int)>& task) {
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::vector<std::thread> others;
    const auto start = Clock::now();
    for (int i = 1; i < threads; ++i) others.emplace_back(task, i);
    task(0);
    for (auto& other : others) other.join();
    best = std::max(best, work * threads / seconds_since(start));
  }
  return best;
}

// An optimiser that saw the sums unused would remove what is measured.
volatile float g_sink;

constexpr size_t kBlock = size_t{512} << 20;

uint8_t* memory_block() {
  void* block = std::aligned_alloc(size_t{2} << 20, kBlock);
  if (block == nullptr) std::exit(1);
#if defined(__linux__)
  madvise(block, kBlock, MADV_HUGEPAGE);
#endif
  std::memset(block, 1, kBlock);
  return static_cast<uint8_t*>(block);
}

// One stream, or several at once: which of them is faster differs from machine to machine.
template <int kStreams>
void read_memory(const uint8_t* block) {
  constexpr size_t kPart = kBlock / kStreams;
#if defined(__AVX512F__)
  __m512i sum[kStreams] = {};
  for (size_t at = 0; at < kPart; at += 64)
    for (int j = 0; j < kStreams; ++j) sum[j] = _mm512_xor_si512(sum[j], _mm512_load_si512(block + j * kPart + at));
  for (const __m512i& part : sum) g_sink = static_cast<float>(_mm512_cvtsi512_si32(part));
#else
  uint64_t sum[kStreams][8] = {};
  for (size_t at = 0; at < kPart; at += 64) {
    for (int j = 0; j < kStreams; ++j) {
      uint64_t words[8];
      std::memcpy(words, block + j * kPart + at, sizeof words);
      for (int k = 0; k < 8; ++k) sum[j][k] ^= words[k];
    }
  }
  for (const auto& words : sum)
    for (const uint64_t part : words) g_sink = static_cast<float>(part);
#endif
}

// What passes through it the compiler can neither compute in advance nor leave out.
#if defined(__AVX512F__)
#define OPAQUE(value) __asm__ volatile("" : "+v"(value))
#elif defined(__x86_64__)
#define OPAQUE(value) __asm__ volatile("" : "+x"(value))
#else
#define OPAQUE(value) __asm__ volatile("" : "+w"(value))
#endif

constexpr int kChains = 12;

// Twelve independent sums hide the latency of every multiplication here, and stay in registers.
template <typename Sum, typename Operand, typename Step>
void chains(Operand operand, Step step) {
  Sum a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{}, k{}, l{};
  const auto add = [&](Sum& sum) {
    sum = step(sum, operand);
    OPAQUE(sum);
  };
  for (long round = 0; round < kRounds; ++round) {
    OPAQUE(operand);
    add(a), add(b), add(c), add(d), add(e), add(f), add(g), add(h), add(i), add(j), add(k), add(l);
  }
}

struct Kind {
  const char* name;
  double operations;  // of a whole run: a multiplication and an addition are two
  void (*run)();
};

#if defined(__AVX512VNNI__)
constexpr double kInt8Lanes = 64;
void int8_run() {
  chains<__m512i>(_mm512_set1_epi8(1), [](__m512i sum, __m512i a) { return _mm512_dpbusd_epi32(sum, a, a); });
}
#elif defined(__AVXVNNI__)
constexpr double kInt8Lanes = 32;
void int8_run() {
  chains<__m256i>(_mm256_set1_epi8(1), [](__m256i sum, __m256i a) { return _mm256_dpbusd_avx_epi32(sum, a, a); });
}
#elif defined(__AVX2__)
constexpr double kInt8Lanes = 32;
void int8_run() {
  chains<__m256i>(_mm256_set1_epi8(1), [](__m256i sum, __m256i a) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), _mm256_set1_epi16(1)));
  });
}
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr double kInt8Lanes = 16;
void int8_run() {
  chains<int32x4_t>(vdupq_n_s8(1), [](int32x4_t sum, int8x16_t a) { return vdotq_s32(sum, a, a); });
}
#endif

#if defined(__AVX512BF16__)
void bf16_run() {
  chains<__m512>(_mm512_set1_epi16(0x3f80), [](__m512 sum, __m512i a) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(a));
  });
}
#endif

#if defined(__AVX512F__)
constexpr double kF32Lanes = 16;
void f32_run() {
  chains<__m512>(_mm512_set1_ps(1), [](__m512 sum, __m512 a) { return _mm512_fmadd_ps(a, a, sum); });
}
#elif defined(__FMA__)
constexpr double kF32Lanes = 8;
void f32_run() {
  chains<__m256>(_mm256_set1_ps(1), [](__m256 sum, __m256 a) { return _mm256_fmadd_ps(a, a, sum); });
}
#elif defined(__ARM_NEON)
constexpr double kF32Lanes = 4;
void f32_run() {
  chains<float32x4_t>(vdupq_n_f32(1), [](float32x4_t sum, float32x4_t a) { return vfmaq_f32(sum, a, a); });
}
#endif

#if defined(__AMX_TILE__) && defined(__linux__)
constexpr int kTileRounds = 200'000;
// 16 rows of 64 bytes times 64 bytes of 16 columns: 16·16·64 int8 products, half as many of bf16.
bool tiles_allowed() {
  constexpr long kArchRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kArchRequestPermission, kTileData) == 0;
}
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// GCC 12 builds _tile_loadconfig without telling the optimiser that it reads memory.
void configure(const TileConfig& config) { __asm__ volatile("ldtilecfg %0" ::"m"(config)); }
void amx_int8_run() {
  const TileConfig config;
  configure(config);
  for (int i = 0; i < kTileRounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}
void amx_bf16_run() {
  const TileConfig config;
  configure(config);
  for (int i = 0; i < kTileRounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}
constexpr double kTileInt8 = 2.0 * 16 * 16 * 64 * 4 * kTileRounds;
#endif

}  // namespace

int main(int argc, char** argv) {
  const int most = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::thread::hardware_concurrency());
  std::vector<uint8_t*> blocks;
  for (int i = 0; i < most; ++i) blocks.push_back(memory_block());

  constexpr double kRun = 2.0 * kChains * kRounds;
  std::vector<Kind> kinds;
#if defined(__AVX2__) || defined(__ARM_FEATURE_DOTPROD)
  kinds.push_back({"int8", kRun * kInt8Lanes, int8_run});
#endif
#if defined(__AVX512BF16__)
  kinds.push_back({"bf16", kRun * 32, bf16_run});
#endif
#if defined(__FMA__) || defined(__ARM_NEON)
  kinds.push_back({"f32", kRun * kF32Lanes, f32_run});
#endif
#if defined(__AMX_TILE__) && defined(__linux__)
  if (tiles_allowed()) {
    kinds.push_back({"amxInt8", kTileInt8, amx_int8_run});
    kinds.push_back({"amxBf16", kTileInt8 / 2, amx_bf16_run});
  }
#endif

  std::string line = "[";
  for (const int threads : {1, most}) {
    if (line.size() > 1) line += ",";
    line += "{\"threads\":" + std::to_string(threads);
    const double bandwidth = std::max(best_rate(threads, kBlock, [&](int i) { read_memory<1>(blocks[i]); }),
                                      best_rate(threads, kBlock, [&](int i) { read_memory<4>(blocks[i]); }));
    line += ",\"memory\":" + std::to_string(bandwidth);
    for (const Kind& kind : kinds)
      line += ",\"" + std::string(kind.name) +
              "\":" + std::to_string(best_rate(threads, kind.operations, [&](int) { kind.run(); }));
    line += "}";
  }
  std::puts((line + "]").c_str());
}
