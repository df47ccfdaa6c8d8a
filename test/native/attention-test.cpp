// Attention inside a graph of ggml, against double precision, and that a query's result does not depend on its company.

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu-kernels/cpu-isa.h"
#include "backends/cpu-kernels/cpu-kernels.h"
#include "backends/cpu-kernels/kernels.h"
#include "compute-graph.h"

namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

constexpr ggml_type kTypes[] = {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0};

// Keys or values: [heads_kv][cells][size], as the cache holds them and as the numbers that those stand for.
struct Cache {
  ggml_type type = GGML_TYPE_F16;
  int64_t size = 0;
  std::vector<uint8_t> bytes;
  std::vector<float> numbers;

  size_t RowSize() const { return ggml_row_size(type, size); }
  void Fill(int64_t rows, std::mt19937& random) {
    std::normal_distribution<float> normal;
    numbers.resize(size_t(rows * size));
    for (float& value : numbers) value = normal(random);
    bytes.resize(size_t(rows) * RowSize());
    if (type == GGML_TYPE_F32) {
      std::memcpy(bytes.data(), numbers.data(), bytes.size());
      return;
    }
    ggml_get_type_traits(type)->from_float_ref(numbers.data(), bytes.data(), int64_t(numbers.size()));
    ggml_get_type_traits(type)->to_float(bytes.data(), numbers.data(), int64_t(numbers.size()));
  }
  void CopyRow(int64_t to, const Cache& other, int64_t from) {
    std::memcpy(&bytes[size_t(to) * RowSize()], &other.bytes[size_t(from) * RowSize()], RowSize());
    std::memcpy(&numbers[size_t(to * size)], &other.numbers[size_t(from * size)], size_t(size) * sizeof(float));
  }
};

// Everything as ggml_flash_attn_ext takes it.
struct Attention {
  int64_t size_k = 64, size_v = 64, heads = 9, heads_kv = 3, cells = 100, rows = 1;
  ggml_type type_k = GGML_TYPE_F16, type_v = GGML_TYPE_F16;
  float scale = 0.125f, max_bias = 0, softcap = 0;
  std::vector<float> q;  // [heads][rows][size_k]
  Cache k, v;
  std::vector<float> mask;   // [rows][cells], empty: none
  std::vector<float> sinks;  // [heads], empty: none

  void Fill(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    q.resize(size_t(heads * rows * size_k));
    for (float& value : q) value = 2 * normal(random);
    k = {type_k, size_k, {}, {}};
    v = {type_v, size_v, {}, {}};
    k.Fill(heads_kv * cells, random);
    v.Fill(heads_kv * cells, random);
  }

  // Each row sees the cells up to its own, but every `gap`-th.
  void Mask(int64_t gap) {
    mask.assign(size_t(rows * cells), 0);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cells; ++c) {
        if (c > cells - rows + r || (gap > 0 && c % gap == gap - 1)) mask[size_t(r * cells + c)] = kHidden;
      }
    }
  }

  double Slope(int64_t head) const {
    if (max_bias <= 0) return 1;
    const double power = std::pow(2.0, std::floor(std::log2(double(heads))));
    return double(head) < power ? std::pow(std::pow(2.0, -max_bias / power), double(head + 1))
                                : std::pow(std::pow(2.0, -max_bias / 2 / power), 2 * (double(head) - power) + 1);
  }

  // [rows][heads][size_v]
  std::vector<double> Exact() const {
    std::vector<double> out;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = h / (heads / heads_kv);
        std::vector<double> scores(size_t(cells), -INFINITY);
        double most = sinks.empty() ? -INFINITY : double(sinks[size_t(h)]);
        for (int64_t c = 0; c < cells; ++c) {
          const double bias = mask.empty() ? 0 : double(mask[size_t(r * cells + c)]);
          if (bias == -INFINITY) continue;
          double dot = 0;
          for (int64_t d = 0; d < size_k; ++d) {
            dot += double(q[size_t((h * rows + r) * size_k + d)]) *
                   double(k.numbers[size_t((kv * cells + c) * size_k + d)]);
          }
          dot *= double(scale);
          if (softcap != 0) dot = double(softcap) * std::tanh(dot / double(softcap));
          scores[size_t(c)] = dot + Slope(h) * bias;
          most = std::max(most, scores[size_t(c)]);
        }
        double total = sinks.empty() ? 0 : std::exp(double(sinks[size_t(h)]) - most);
        std::vector<double> sum(size_t(size_v), 0.0);
        for (int64_t c = 0; c < cells; ++c) {
          if (scores[size_t(c)] == -INFINITY) continue;
          const double weight = std::exp(scores[size_t(c)] - most);
          total += weight;
          for (int64_t d = 0; d < size_v; ++d) {
            sum[size_t(d)] += weight * double(v.numbers[size_t((kv * cells + c) * size_v + d)]);
          }
        }
        for (const double value : sum) out.push_back(total > 0 ? value / total : 0);
      }
    }
    return out;
  }

  // In ggml's graph and pool.
  std::vector<float> Compute(int threads) const {
    const ggml_init_params params = {ggml_tensor_overhead() * 16 + ggml_graph_overhead(), nullptr, true};
    const ggml_context_ptr context(ggml_init(params));
    ggml_tensor* tq = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, size_k, rows, heads);
    ggml_tensor* tk = ggml_new_tensor_3d(context.get(), type_k, size_k, cells, heads_kv);
    ggml_tensor* tv = ggml_new_tensor_3d(context.get(), type_v, size_v, cells, heads_kv);
    ggml_tensor* tm = mask.empty() ? nullptr : ggml_new_tensor_2d(context.get(), GGML_TYPE_F16, cells, rows);
    ggml_tensor* ts = sinks.empty() ? nullptr : ggml_new_tensor_1d(context.get(), GGML_TYPE_F32, heads);
    ggml_tensor* out = ggml_flash_attn_ext(context.get(), tq, tk, tv, tm, scale, max_bias, softcap);
    if (ts) ggml_flash_attn_ext_add_sinks(out, ts);
    const ggml_backend_buffer_ptr room(
        ggml_backend_alloc_ctx_tensors_from_buft(context.get(), ggml_backend_cpu_buffer_type()));
    ggml_backend_tensor_set(tq, q.data(), 0, q.size() * sizeof(float));
    ggml_backend_tensor_set(tk, k.bytes.data(), 0, k.bytes.size());
    ggml_backend_tensor_set(tv, v.bytes.data(), 0, v.bytes.size());
    if (tm) {
      std::vector<ggml_fp16_t> halves(mask.size());
      ggml_fp32_to_fp16_row(mask.data(), halves.data(), int64_t(mask.size()));
      ggml_backend_tensor_set(tm, halves.data(), 0, halves.size() * sizeof(ggml_fp16_t));
    }
    if (ts) ggml_backend_tensor_set(ts, sinks.data(), 0, sinks.size() * sizeof(float));
    ggml_cgraph* graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, out);
    ComputeGraph(graph, threads);
    std::vector<float> result(size_t(rows * heads * size_v));
    ggml_backend_tensor_get(out, result.data(), 0, result.size() * sizeof(float));
    return result;
  }
};

class AttentionTest : public testing::Test {
  void SetUp() override {
    ggml_backend_cpu_kernels_register();
    if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  }
};

void ExpectExact(const Attention& attention) {
  const std::vector<double> exact = attention.Exact();
  const std::vector<float> out = attention.Compute(2);
  ASSERT_EQ(out.size(), exact.size());
  for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], exact[i], 2e-5) << i;
}

TEST_F(AttentionTest, EveryShapeIsRightToThePrecisionOfFloats) {
  for (const auto& [heads, heads_kv] : {std::pair{1, 1}, {9, 3}, {14, 2}, {32, 8}, {8, 1}}) {
    for (const int64_t size : {32, 64, 80, 128, 256}) {
      for (const int64_t cells : {1, 15, 16, 17, 129, 600}) {
        Attention attention;
        attention.heads = heads;
        attention.heads_kv = heads_kv;
        attention.size_k = attention.size_v = size;
        attention.cells = cells;
        attention.rows = std::min<int64_t>(cells, 3);
        attention.Fill(uint32_t(heads + size + cells));
        SCOPED_TRACE(testing::Message() << heads << '/' << heads_kv << " heads of " << size << ", " << cells
                                        << " cells");
        ExpectExact(attention);
        attention.Mask(5);
        ExpectExact(attention);
      }
    }
  }
}

// The reference reads what the cache holds: quantised numbers are computed with as exactly as f16.
TEST_F(AttentionTest, KeysAndValuesMayBeOfAnyTypes) {
  for (const ggml_type type_k : kTypes) {
    for (const ggml_type type_v : kTypes) {
      for (const auto& [heads, heads_kv] : {std::pair{4, 4}, {8, 2}, {6, 1}}) {
        for (const int64_t size : {64, 96, 128, 256}) {
          for (const int64_t rows : {1, 21}) {
            Attention attention;
            attention.type_k = type_k;
            attention.type_v = type_v;
            attention.heads = heads;
            attention.heads_kv = heads_kv;
            attention.size_k = attention.size_v = size;
            attention.cells = 149;
            attention.rows = rows;
            attention.Fill(uint32_t(heads + size + rows));
            attention.Mask(rows == 1 ? 3 : 0);
            SCOPED_TRACE(testing::Message() << ggml_type_name(type_k) << '/' << ggml_type_name(type_v) << ", " << heads
                                            << '/' << heads_kv << " heads of " << size << ", " << rows << " rows");
            ExpectExact(attention);
          }
        }
      }
    }
  }
}

TEST_F(AttentionTest, ScoresAreCappedSoftly) {
  for (const float scale : {0.01f, 0.125f, 8.0f}) {
    for (const int64_t rows : {1, 40}) {
      Attention attention;
      attention.softcap = 20;
      attention.scale = scale;
      attention.size_k = attention.size_v = 256;
      attention.heads = 8;
      attention.heads_kv = 4;
      attention.rows = rows;
      attention.Fill(uint32_t(rows));
      attention.Mask(0);
      SCOPED_TRACE(testing::Message() << "scale " << scale << ", " << rows << " rows");
      ExpectExact(attention);
    }
  }
}

TEST_F(AttentionTest, ManyRowsAreRightToo) {
  for (const auto& [heads, heads_kv] : {std::pair{9, 3}, {14, 2}, {4, 4}}) {
    for (const int64_t rows : {22, 64, 130}) {
      Attention attention;
      attention.heads = heads;
      attention.heads_kv = heads_kv;
      attention.rows = rows;
      attention.cells = rows + 37;
      attention.Fill(uint32_t(heads + rows));
      attention.Mask(0);
      SCOPED_TRACE(testing::Message() << heads << '/' << heads_kv << " heads, " << rows << " rows");
      ExpectExact(attention);
    }
  }
}

TEST_F(AttentionTest, KeysAndValuesMayDifferInSizeAndSinksAndSlopesCount) {
  Attention attention;
  attention.size_k = 192;
  attention.size_v = 112;
  attention.heads = 12;
  attention.heads_kv = 3;
  attention.rows = 4;
  attention.Fill(7);
  attention.Mask(0);
  ExpectExact(attention);
  for (int64_t h = 0; h < attention.heads; ++h) attention.sinks.push_back(float(h) - 3);
  ExpectExact(attention);
  attention.sinks.clear();
  attention.max_bias = 8;
  for (int64_t r = 0; r < attention.rows; ++r) {
    for (int64_t c = 0; c < attention.cells; ++c) {
      float& bias = attention.mask[size_t(r * attention.cells + c)];
      if (bias == 0) bias = float(c - attention.cells);
    }
  }
  ExpectExact(attention);
}

TEST_F(AttentionTest, ARowThatSeesNothingIsZero) {
  Attention attention;
  attention.rows = 2;
  attention.Fill(3);
  attention.Mask(0);
  std::fill(attention.mask.begin(), attention.mask.begin() + attention.cells, kHidden);
  const std::vector<float> out = attention.Compute(2);
  for (int64_t i = 0; i < attention.heads * attention.size_v; ++i) ASSERT_EQ(out[size_t(i)], 0);
  ExpectExact(attention);
}

TEST_F(AttentionTest, ScoresFarApartNeitherOverflowNorVanish) {
  Attention attention;
  attention.scale = 30;
  attention.Fill(11);
  ExpectExact(attention);
  for (const float value : attention.Compute(1)) ASSERT_TRUE(std::isfinite(value));
}

// One row among `rows`, its cells every third, behind 37 of somebody else.
void ExpectTheSameInACrowd(const Attention& alone, int64_t rows, const std::vector<float>& expected) {
  constexpr int64_t kSpread = 3;
  Attention crowd = alone;
  crowd.cells = 37 + kSpread * alone.cells;
  crowd.rows = rows;
  crowd.Fill(6);
  crowd.mask.assign(size_t(crowd.rows * crowd.cells), 0);
  const int64_t row = 2;
  float* seen = crowd.mask.data() + row * crowd.cells;
  std::fill(seen, seen + crowd.cells, kHidden);
  for (int64_t c = 0; c < alone.cells; ++c) {
    const int64_t at = 37 + kSpread * c;
    seen[at] = 0;
    for (int64_t h = 0; h < alone.heads_kv; ++h) {
      crowd.k.CopyRow(h * crowd.cells + at, alone.k, h * alone.cells + c);
      crowd.v.CopyRow(h * crowd.cells + at, alone.v, h * alone.cells + c);
    }
  }
  for (int64_t h = 0; h < alone.heads; ++h) {
    std::memcpy(&crowd.q[size_t((h * crowd.rows + row) * 64)], &alone.q[size_t(h * 64)], 64 * sizeof(float));
  }
  const std::vector<float> all = crowd.Compute(2);
  const auto begin = all.begin() + row * crowd.heads * crowd.size_v;
  EXPECT_EQ(std::vector<float>(begin, begin + crowd.heads * crowd.size_v), expected) << rows << " rows";
}

// The same sequence alone in the cache, and between the cells of others, in a batch with their rows.
TEST_F(AttentionTest, AQueryGetsTheSameBitsWhateverItsCompanyAndTheNumberOfThreads) {
  for (const auto& [heads, heads_kv] : {std::pair{9, 3}, {3, 3}, {4, 2}, {7, 1}, {40, 1}}) {
    for (const ggml_type type : kTypes) {
      SCOPED_TRACE(testing::Message() << heads << '/' << heads_kv << " heads, " << ggml_type_name(type));
      Attention alone;
      alone.heads = heads;
      alone.heads_kv = heads_kv;
      alone.type_k = alone.type_v = type;
      alone.cells = 200;
      alone.Fill(5);
      alone.Mask(0);
      const std::vector<float> expected = alone.Compute(1);
      for (const int threads : {2, 3, 7, -2, -5}) EXPECT_EQ(alone.Compute(threads), expected) << threads << " threads";
      for (const int64_t rows : {5, 70}) ExpectTheSameInACrowd(alone, rows, expected);
    }
  }
}

// Rows of a prompt in one batch, and each by itself with the cells before it.
TEST_F(AttentionTest, ARowOfAPromptGetsTheSameBitsAlone) {
  for (const auto& [heads, heads_kv] : {std::pair{9, 3}, {3, 3}, {4, 2}, {16, 2}}) {
    for (const ggml_type type : kTypes) {
      Attention prompt;
      prompt.heads = heads;
      prompt.heads_kv = heads_kv;
      prompt.type_k = prompt.type_v = type;
      prompt.rows = 83;
      prompt.cells = 150;
      prompt.Fill(8);
      prompt.Mask(0);
      const std::vector<float> all = prompt.Compute(2);
      for (const int64_t row : {0, 40, 82}) {
        Attention one = prompt;
        one.rows = 1;
        one.mask.assign(prompt.mask.begin() + row * prompt.cells, prompt.mask.begin() + (row + 1) * prompt.cells);
        one.q.clear();
        for (int64_t h = 0; h < heads; ++h) {
          const auto begin = prompt.q.begin() + (h * prompt.rows + row) * prompt.size_k;
          one.q.insert(one.q.end(), begin, begin + prompt.size_k);
        }
        const auto begin = all.begin() + row * prompt.heads * prompt.size_v;
        EXPECT_EQ(std::vector<float>(begin, begin + prompt.heads * prompt.size_v), one.Compute(2))
            << heads << '/' << heads_kv << " heads, " << ggml_type_name(type) << ", row " << row;
      }
    }
  }
}

// Every instruction set by itself, where the graph uses only the one in use.
TEST(AttentionKernels, EachInstructionSetAgreesWithPlainCpp) {
  constexpr int64_t kSize = 96;
  constexpr int kCells = 57;
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> q(4 * kSize);
  for (float& value : q) value = normal(random);
  std::vector<float> bias(4 * SOTTO_KV_BLOCK);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = i % 7 == 3 ? kHidden : -0.25f * float(i % 3);
  for (int type = 0; type < SOTTO_N_KV; ++type) {
    Cache k = {kTypes[type], kSize, {}, {}}, v = k;
    k.Fill(kCells, random);
    v.Fill(kCells, random);
    const auto attend = [&](const sotto_kernels* set, int n, int log_width, float softcap) {
      std::vector<float> out(4 * kSize, 0.5f), scores(4 * SOTTO_KV_BLOCK), weights(4 * SOTTO_KV_BLOCK);
      sotto_queries a = {};
      const uint8_t *keys[kCells], *values[kCells];
      for (int c = 0; c < kCells; ++c) {
        keys[c] = k.bytes.data() + size_t(c) * k.RowSize();
        values[c] = v.bytes.data() + size_t(c) * v.RowSize();
      }
      for (int i = 0; i < n; ++i) {
        a.q[i] = q.data() + i * kSize;
        a.dst[i] = out.data() + i * kSize;
      }
      a.d_k = kSize;
      a.scale = softcap > 0 ? 0.2f / softcap : 0.2f;
      a.softcap = softcap;
      float most[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, total[4] = {0, 0.5f, 0, 1};
      set->scores[type][n - 1](&a, keys, kCells, bias.data(), scores.data(), most);
      set->weigh(scores.data(), kCells, most, weights.data(), total);
      for (int64_t d = 0; d < kSize;) {
        const int log = d + (set->lanes << log_width) <= kSize ? log_width : 0;
        set->values[type][n - 1][log](&a, values, kCells, weights.data(), d);
        d += set->lanes << log;
      }
      out.resize(size_t(n) * kSize);
      out.insert(out.end(), total, total + n);
      return out;
    };
    for (const float softcap : {0.0f, 1.5f}) {
      for (int n = 1; n <= SOTTO_MAX_QUERIES; ++n) {
        const std::vector<float> expected = attend(sotto_find_kernels("generic"), n, 0, softcap);
        for (const char* name : {"generic", "avx2", "avxvnni", "avx512vnni", "neondot", "neoni8mm"}) {
          const sotto_kernels* set = sotto_find_kernels(name);
          if (!set) continue;
          SCOPED_TRACE(testing::Message() << name << ' ' << ggml_type_name(kTypes[type]) << ' ' << n << " queries");
          const std::vector<float> out = attend(set, n, 0, softcap);
          for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 2e-5) << i;
          for (int log = 1; 1 << log <= set->wide; ++log)
            EXPECT_EQ(attend(set, n, log, softcap), out) << "at width " << (1 << log);
          std::vector<float> row(kSize);
          set->expand[type](k.bytes.data(), 0, kSize, row.data());
          EXPECT_EQ(row, std::vector<float>(k.numbers.begin(), k.numbers.begin() + kSize));
        }
      }
    }
  }
}

}  // namespace
