// The kernels against plain C++, plain C++ against arithmetic in double precision, and the buffer type inside a graph of ggml.

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "backends/cpu-kernels/cpu-isa.h"
#include "backends/cpu-kernels/cpu-kernels.h"
#include "backends/cpu-kernels/kernels.h"
#include "backends/cpu-kernels/pack.h"
#include "compute-graph.h"

namespace {

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0,   GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0,
                                GGML_TYPE_IQ4_NL, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K};

std::vector<const sotto_kernels*> Sets() {
  std::vector<const sotto_kernels*> sets;
  for (const char* name : {"generic", "avx2", "avxvnni", "avx512vnni", "avx512amx", "neondot", "neoni8mm"}) {
    if (const sotto_kernels* set = sotto_find_kernels(name)) sets.push_back(set);
  }
  return sets;
}

struct Matrix {
  Matrix(ggml_type type, int64_t columns, int64_t rows, uint32_t seed) : type(type), columns(columns), rows(rows) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> weights(size_t(rows * columns));
    for (float& weight : weights) weight = 0.05f * normal(random);
    bytes.resize(ggml_row_size(type, columns) * size_t(rows));
    ggml_quantize_chunk(type, weights.data(), bytes.data(), 0, rows, columns, nullptr);
    values.resize(weights.size());
    for (int64_t r = 0; r < rows; ++r) {
      ggml_get_type_traits(type)->to_float(bytes.data() + ggml_row_size(type, columns) * size_t(r),
                                           values.data() + r * columns, columns);
    }
  }
  ggml_type type;
  int64_t columns, rows;
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

std::vector<float> Activations(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = normal(random);
  return x;
}

class Kernels : public testing::TestWithParam<ggml_type> {};

TEST_P(Kernels, EachInstructionSetMultipliesWhatItQuantised) {
  const ggml_type type = GetParam();
  const int kind = sotto_kind_of(type);
  const int64_t whole = 32 * sotto_traits_of(kind).super;
  for (const int64_t k : {whole, 3 * whole, int64_t(2304)}) {
    for (const int rows : {1, 7, 8, 15, 16}) {
      const Matrix w(type, k, rows, uint32_t(k + rows));
      std::vector<uint8_t> panel(sotto_panel_size(kind, k));
      sotto_pack_panel(kind, w.bytes.data(), ggml_row_size(type, k), rows, k, panel.data());
      for (int n = 1; n <= SOTTO_MAX_COLS; ++n) {
        const std::vector<float> x = Activations(k * n, uint32_t(n));
        for (const sotto_kernels* set : Sets()) {
          std::vector<uint8_t> memory(sotto_acts_size(k, n));
          for (int c = 0; c < n; ++c) set->quantize(x.data() + c * k, k, kind, memory.data(), n, c);
          const sotto_acts acts = sotto_acts_at(memory.data(), k, n);
          std::vector<float> out(size_t(n * 16), -1e9f);
          set->tile[kind][n](panel.data(), k, &acts, out.data(), 16, rows);
          for (int c = 0; c < n; ++c) {
            for (int r = 0; r < 16; ++r) {
              if (r >= rows) {
                ASSERT_EQ(out[size_t(c * 16 + r)], -1e9f) << set->name << " wrote beyond its rows";
                continue;
              }
              double exact = 0, magnitude = 0, quantised = 0;
              for (int64_t i = 0; i < k; ++i) {
                const double weight = w.values[size_t(r * k + i)];
                const double q = acts.q[(i / 32 * n + c) * 32 + i % 32] * double(acts.scale[i / 32 * n + c]);
                exact += weight * x[size_t(c * k + i)];
                quantised += weight * q;
                magnitude += weight * weight * q * q;
              }
              // Rounding of the sums only; then what int8 takes from the activations.
              ASSERT_NEAR(out[size_t(c * 16 + r)], quantised, 2e-5 * std::sqrt(magnitude) + 1e-6)
                  << set->name << ' ' << ggml_type_name(type) << " k " << k << " n " << n << " row " << r;
              ASSERT_NEAR(out[size_t(c * 16 + r)], exact, 0.03 * std::sqrt(magnitude) + 1e-6) << set->name;
            }
          }
        }
      }
    }
  }
}

TEST_P(Kernels, ExtremeWeightsAndActivationsOverflowNowhere) {
  const ggml_type type = GetParam();
  const int kind = sotto_kind_of(type);
  const int64_t k = 512;
  std::vector<uint8_t> bytes(ggml_row_size(type, k) * 16);
  for (const int pattern : {0x00, 0xff, 0x80, 0x7f}) {
    std::memset(bytes.data(), pattern, bytes.size());
    // The scales become 1.0: as a pattern they would be NaN, which hides the rest.
    std::vector<uint8_t> panel(sotto_panel_size(kind, k));
    sotto_pack_panel(kind, bytes.data(), ggml_row_size(type, k), 16, k, panel.data());
    for (int header = 0; header < 32; header += 2) {
      const uint16_t one = 0x3c00;
      for (size_t at = 0; at + 32 <= panel.size(); at += sotto_panel_size(kind, 32 * sotto_traits_of(kind).super)) {
        std::memcpy(panel.data() + at + header, &one, 2);
        if (sotto_traits_of(kind).has_min) std::memcpy(panel.data() + at + 32 + header, &one, 2);
      }
    }
    for (const float value : {1.0f, -1.0f}) {
      const std::vector<float> x(size_t(k), value);
      std::vector<float> expected;
      for (const sotto_kernels* set : Sets()) {
        std::vector<uint8_t> memory(sotto_acts_size(k, 1));
        set->quantize(x.data(), k, kind, memory.data(), 1, 0);
        const sotto_acts acts = sotto_acts_at(memory.data(), k, 1);
        std::vector<float> out(16);
        set->tile[kind][1](panel.data(), k, &acts, out.data(), 16, 16);
        if (expected.empty()) expected = out;
        for (int r = 0; r < 16; ++r) {
          ASSERT_TRUE(std::isfinite(out[size_t(r)])) << set->name;
          ASSERT_NEAR(out[size_t(r)], expected[size_t(r)], 1e-4 * std::abs(expected[size_t(r)]) + 1e-3) << set->name;
        }
      }
    }
  }
}

// What is an integer is exact, and these compute with floats alike.
TEST_P(Kernels, SetsThatDifferInTheirProductsOfIntegersGiveTheSameBits) {
  const int kind = sotto_kind_of(GetParam());
  const int64_t k = 2304;
  const Matrix w(GetParam(), k, SOTTO_ROWS, 1);
  std::vector<uint8_t> panel(sotto_panel_size(kind, k));
  sotto_pack_panel(kind, w.bytes.data(), ggml_row_size(GetParam(), k), SOTTO_ROWS, k, panel.data());
  for (const auto& [one, other] : {std::pair{"avx2", "avxvnni"}, {"neondot", "neoni8mm"}}) {
    if (!sotto_find_kernels(one) || !sotto_find_kernels(other)) continue;
    for (int n = 1; n <= SOTTO_MAX_COLS; ++n) {
      const std::vector<float> x = Activations(k * n, uint32_t(n));
      const auto multiply = [&](const sotto_kernels* set) {
        std::vector<uint8_t> memory(sotto_acts_size(k, n));
        for (int c = 0; c < n; ++c) set->quantize(x.data() + c * k, k, kind, memory.data(), n, c);
        const sotto_acts acts = sotto_acts_at(memory.data(), k, n);
        std::vector<float> out(size_t(n * SOTTO_ROWS));
        set->tile[kind][n](panel.data(), k, &acts, out.data(), SOTTO_ROWS, SOTTO_ROWS);
        return out;
      };
      ASSERT_EQ(multiply(sotto_find_kernels(one)), multiply(sotto_find_kernels(other))) << other << ' ' << n;
    }
  }
}

// One multiplication in ggml's own graph and pool.
std::vector<float> Multiply(const Matrix& w, const std::vector<float>& x, int64_t n, int threads,
                            ggml_backend_buffer_type_t weights_type) {
  const ggml_init_params params = {ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr, true};
  const ggml_context_ptr weights(ggml_init(params)), rest(ggml_init(params));
  ggml_tensor* a = ggml_new_tensor_2d(weights.get(), w.type, w.columns, w.rows);
  const ggml_backend_buffer_ptr held(ggml_backend_alloc_ctx_tensors_from_buft(weights.get(), weights_type));
  ggml_backend_tensor_set(a, w.bytes.data(), 0, w.bytes.size());
  ggml_tensor* b = ggml_new_tensor_2d(rest.get(), GGML_TYPE_F32, w.columns, n);
  ggml_tensor* c = ggml_mul_mat(rest.get(), a, b);
  const ggml_backend_buffer_ptr room(
      ggml_backend_alloc_ctx_tensors_from_buft(rest.get(), ggml_backend_cpu_buffer_type()));
  ggml_backend_tensor_set(b, x.data(), 0, x.size() * sizeof(float));
  ggml_cgraph* graph = ggml_new_graph(rest.get());
  ggml_build_forward_expand(graph, c);
  ComputeGraph(graph, threads);
  std::vector<float> out(size_t(w.rows * n));
  ggml_backend_tensor_get(c, out.data(), 0, out.size() * sizeof(float));
  return out;
}

TEST_P(Kernels, AGraphOfGgmlGivesTheSameForEveryNumberOfThreadsAndColumns) {
  ggml_backend_cpu_kernels_register();
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  const Matrix w(GetParam(), 768, 75, 3);
  constexpr int64_t kMost = 40, kSeveralSteps = 2 * SOTTO_WIDE_MOST + 5;
  const std::vector<float> x = Activations(w.columns * kSeveralSteps, 4);
  ggml_backend_buffer_type_t ours = ggml_backend_cpu_kernels_buffer_type();
  const std::vector<float> all = Multiply(w, x, kSeveralSteps, 1, ours);
  const std::vector<float> upstream = Multiply(w, x, kSeveralSteps, 2, ggml_backend_cpu_buffer_type());
  for (size_t i = 0; i < all.size(); ++i) ASSERT_NEAR(all[i], upstream[i], 0.08);
  for (const int threads : {2, 3, 7, -2, -5})
    EXPECT_EQ(Multiply(w, x, kSeveralSteps, threads, ours), all) << threads << " threads";
  for (int64_t n = 1; n <= kMost; ++n) {
    const std::vector<float> some = Multiply(w, {x.begin(), x.begin() + w.columns * n}, n, 2, ours);
    ASSERT_EQ(some, std::vector<float>(all.begin(), all.begin() + w.rows * n)) << n << " columns";
  }
}

// Q, a rotation, V, K; something of ggml's own that uses the work buffer; and one more. Every number of times with another input.
TEST(SharedInput, IsQuantisedOnceForTheOperationsThatFollowOneAnother) {
  ggml_backend_cpu_kernels_register();
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  constexpr int kShares = GGML_MAX_OP_PARAMS / sizeof(int32_t) - 1;
  ggml_backend_buffer_type_t ours = ggml_backend_cpu_kernels_buffer_type();
  const Matrix q(GGML_TYPE_Q4_0, 768, 128, 1), v(GGML_TYPE_Q4_0, 768, 64, 2), k(GGML_TYPE_Q4_0, 768, 75, 3),
      other(GGML_TYPE_Q8_0, 768, 32, 4), last(GGML_TYPE_Q4_0, 768, 16, 5);
  for (const int64_t n : {1, 7, 40}) {
    const ggml_init_params params = {ggml_tensor_overhead() * 32 + ggml_graph_overhead(), nullptr, true};
    const ggml_context_ptr weights(ggml_init(params)), plain(ggml_init(params)), rest(ggml_init(params));
    const auto tensor = [](const ggml_context_ptr& in, const Matrix& m) {
      return ggml_new_tensor_2d(in.get(), m.type, m.columns, m.rows);
    };
    ggml_tensor *wq = tensor(weights, q), *wv = tensor(weights, v), *wk = tensor(weights, k),
                *wl = tensor(weights, last), *wo = tensor(plain, other);
    const ggml_backend_buffer_ptr held(ggml_backend_alloc_ctx_tensors_from_buft(weights.get(), ours));
    const ggml_backend_buffer_ptr own(
        ggml_backend_alloc_ctx_tensors_from_buft(plain.get(), ggml_backend_cpu_buffer_type()));
    for (const auto& [w, m] : {std::pair{wq, &q}, {wv, &v}, {wk, &k}, {wl, &last}, {wo, &other}})
      ggml_backend_tensor_set(w, m->bytes.data(), 0, m->bytes.size());
    ggml_tensor* x = ggml_new_tensor_2d(rest.get(), GGML_TYPE_F32, 768, n);
    ggml_tensor* positions = ggml_new_tensor_1d(rest.get(), GGML_TYPE_I32, n);
    ggml_tensor* yq = ggml_mul_mat(rest.get(), wq, x);
    ggml_tensor* turned = ggml_rope(rest.get(), ggml_reshape_3d(rest.get(), yq, 64, 2, n), positions, 64, 0);
    ggml_tensor *yv = ggml_mul_mat(rest.get(), wv, x), *yk = ggml_mul_mat(rest.get(), wk, x),
                *yo = ggml_mul_mat(rest.get(), wo, x), *yl = ggml_mul_mat(rest.get(), wl, x);
    const ggml_backend_buffer_ptr room(
        ggml_backend_alloc_ctx_tensors_from_buft(rest.get(), ggml_backend_cpu_buffer_type()));
    const std::vector<int32_t> zeros(size_t(n), 0);
    ggml_backend_tensor_set(positions, zeros.data(), 0, zeros.size() * sizeof(int32_t));
    ggml_cgraph* graph = ggml_new_graph(rest.get());
    for (ggml_tensor* out : {turned, yv, yk, yo, yl}) ggml_build_forward_expand(graph, out);
    uint32_t seed = 10;
    for (const int threads : {1, 3, 2, -2, 1}) {
      const std::vector<float> input = Activations(768 * n, seed++);
      ggml_backend_tensor_set(x, input.data(), 0, input.size() * sizeof(float));
      ComputeGraph(graph, threads);
      for (const auto& [y, m] : {std::pair{yq, &q}, {yv, &v}, {yk, &k}, {yl, &last}}) {
        std::vector<float> out(size_t(ggml_nelements(y)));
        ggml_backend_tensor_get(y, out.data(), 0, out.size() * sizeof(float));
        ASSERT_EQ(out, Multiply(*m, input, n, 1, ours)) << threads << " threads, " << n << " columns";
      }
    }
    EXPECT_EQ(yq->op_params[kShares], 0);
    EXPECT_EQ(yv->op_params[kShares], 1);
    EXPECT_EQ(yk->op_params[kShares], 1);
    EXPECT_EQ(yl->op_params[kShares], 0);
  }
}

// A crew computes only where this is false.
TEST(ForeignWork, IsWhatIsLargeAndNotOurs) {
  ggml_backend_cpu_kernels_register();
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  const Matrix small(GGML_TYPE_Q4_0, 768, 16, 3), large(GGML_TYPE_Q4_0, 768, 256, 3);
  const std::vector<float> x = Activations(768, 4);
  ggml_backend_cpu_kernels_foreign();
  Multiply(large, x, 1, 1, ggml_backend_cpu_kernels_buffer_type());
  EXPECT_FALSE(ggml_backend_cpu_kernels_foreign());
  Multiply(small, x, 1, 1, ggml_backend_cpu_buffer_type());
  EXPECT_FALSE(ggml_backend_cpu_kernels_foreign());
  Multiply(large, x, 1, 1, ggml_backend_cpu_buffer_type());
  EXPECT_TRUE(ggml_backend_cpu_kernels_foreign());
  EXPECT_FALSE(ggml_backend_cpu_kernels_foreign());
}

INSTANTIATE_TEST_SUITE_P(Types, Kernels, testing::ValuesIn(kTypes),
                         [](const auto& info) { return std::string(ggml_type_name(info.param)); });

}  // namespace
