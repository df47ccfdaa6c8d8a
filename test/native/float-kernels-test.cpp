// Multiplication with F16, BF16 and F32 weights: each instruction set against double precision, and inside a graph of ggml, where its own
// kernels take what ours do not.

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "backends/cpu-kernels/cpu-isa.h"
#include "backends/cpu-kernels/cpu-kernels.h"
#include "backends/cpu-kernels/kernels.h"
#include "compute-graph.h"

namespace {

std::vector<const sotto_kernels*> Sets() {
  std::vector<const sotto_kernels*> sets;
  for (const char* name : {"generic", "avx2", "avxvnni", "avx512vnni", "neondot", "neoni8mm"}) {
    if (const sotto_kernels* set = sotto_find_kernels(name)) sets.push_back(set);
  }
  return sets;
}

std::vector<float> Normal(int64_t count, uint32_t seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = normal(random);
  return x;
}

int KindOf(ggml_type type) {
  return type == GGML_TYPE_F16 ? SOTTO_F16 : type == GGML_TYPE_BF16 ? SOTTO_BF16 : SOTTO_F32;
}

// Weights in the type, and what they are as floats.
struct Weights {
  Weights(ggml_type type, int64_t count, uint32_t seed) : bytes(ggml_row_size(type, count)), values(size_t(count)) {
    const std::vector<float> exact = Normal(count, seed, 0.05f);
    ggml_quantize_chunk(type, exact.data(), bytes.data(), 0, 1, count, nullptr);
    if (type == GGML_TYPE_F32) {
      values = exact;
      return;
    }
    ggml_get_type_traits(type)->to_float(bytes.data(), values.data(), count);
  }
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

class FloatKernels : public testing::TestWithParam<ggml_type> {};

TEST_P(FloatKernels, EachInstructionSetIsRightToTheRoundingOfItsSums) {
  const int kind = KindOf(GetParam());
  for (const int64_t k : {16, 48, 528, 2064, 6160}) {
    const int64_t stride = k + 32;  // rows may lie apart
    const Weights w(GetParam(), stride * SOTTO_FLOAT_ROWS, uint32_t(k));
    for (const int rows : {1, 7, 23, 24}) {
      for (int n = 1; n <= SOTTO_MAX_COLS; ++n) {
        const std::vector<float> x = Normal(k * n, uint32_t(n));
        std::vector<float> tile(x.size());
        for (int64_t i = 0; i < k * n; ++i) tile[size_t((i % k / 16 * n + i / k) * 16 + i % 16)] = x[size_t(i)];
        for (const sotto_kernels* set : Sets()) {
          std::vector<float> out(size_t(n * 30), -1e9f);
          set->float_tile[kind][n](w.bytes.data(), int64_t(ggml_row_size(GetParam(), stride)), k, tile.data(),
                                   out.data(), 30, rows);
          for (int c = 0; c < n; ++c) {
            for (int r = 0; r < 30; ++r) {
              const float got = out[size_t(c * 30 + r)];
              if (r >= rows) {
                ASSERT_EQ(got, -1e9f) << set->name << " wrote beyond its rows";
                continue;
              }
              double exact = 0, magnitude = 0;
              for (int64_t i = 0; i < k; ++i) {
                const double product = double(w.values[size_t(r * stride + i)]) * x[size_t(c * k + i)];
                exact += product;
                magnitude += product * product;
              }
              ASSERT_NEAR(got, exact, 3e-6 * std::sqrt(magnitude) + 1e-7)
                  << set->name << " k " << k << " n " << n << " row " << r;
            }
          }
        }
      }
    }
  }
}

TEST_P(FloatKernels, EveryHalfAndItsNegativeWidenAsGgmlWidensThem) {
  const int kind = KindOf(GetParam());
  if (kind == SOTTO_F32) GTEST_SKIP() << "nothing to widen";
  std::vector<float> one(16, 0.0f);
  one[5] = 1;  // picks one weight of the row
  for (uint32_t bits = 0; bits < 0x10000; bits += 3) {
    std::vector<uint16_t> row(16, 0);
    row[5] = uint16_t(bits);
    float expected = 0;
    ggml_get_type_traits(GetParam())->to_float(&row[5], &expected, 1);
    if (!std::isfinite(expected)) continue;
    for (const sotto_kernels* set : Sets()) {
      float out = -1;
      set->float_tile[kind][1](reinterpret_cast<const uint8_t*>(row.data()), 32, 16, one.data(), &out, 1, 1);
      ASSERT_EQ(out, expected) << set->name << ' ' << bits;
    }
  }
}

// x of n columns and `planes` planes; w has planes / shared of them. With a gap, rows and planes lie apart as a view's do.
struct Shape {
  int64_t k, rows, n, planes = 1, shared = 1, gap = 0;
};

std::vector<float> Multiply(ggml_type type, const Weights& weights, const Shape& s, const std::vector<float>& x,
                            int threads) {
  const ggml_init_params params = {ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr, true};
  const ggml_context_ptr context(ggml_init(params));
  ggml_tensor* whole = ggml_new_tensor_3d(context.get(), type, s.k + s.gap, s.rows, s.planes / s.shared);
  ggml_tensor* b = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, s.k, s.n, s.planes);
  ggml_tensor* w = ggml_view_3d(context.get(), whole, s.k, s.rows, s.planes / s.shared, whole->nb[1], whole->nb[2], 0);
  ggml_tensor* c = ggml_mul_mat(context.get(), w, b);
  const ggml_backend_buffer_ptr room(
      ggml_backend_alloc_ctx_tensors_from_buft(context.get(), ggml_backend_cpu_buffer_type()));
  ggml_backend_tensor_set(whole, weights.bytes.data(), 0, ggml_nbytes(whole));
  ggml_backend_tensor_set(b, x.data(), 0, ggml_nbytes(b));
  ggml_cgraph* graph = ggml_new_graph(context.get());
  ggml_build_forward_expand(graph, c);
  ComputeGraph(graph, threads);
  std::vector<float> out(size_t(ggml_nelements(c)));
  ggml_backend_tensor_get(c, out.data(), 0, ggml_nbytes(c));
  return out;
}

TEST_P(FloatKernels, AGraphOfGgmlGivesTheSameForEveryNumberOfThreadsAndColumns) {
  ggml_backend_cpu_kernels_register();
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  constexpr int64_t kMost = 40;
  Shape s{2064, 75, kMost};
  const Weights w(GetParam(), s.k * s.rows, 3);
  const std::vector<float> x = Normal(s.k * kMost, 4);
  const std::vector<float> all = Multiply(GetParam(), w, s, x, 1);
  for (int64_t i = 0; i < s.rows * kMost; ++i) {
    double exact = 0;
    for (int64_t j = 0; j < s.k; ++j) {
      exact += double(w.values[size_t(i % s.rows * s.k + j)]) * x[size_t(i / s.rows * s.k + j)];
    }
    // ggml's own kernels round activations to the weights' type, which is a hundred times this.
    ASSERT_NEAR(all[size_t(i)], exact, 2e-5);
  }
  for (const int threads : {2, 3, 7, -2, -5})
    EXPECT_EQ(Multiply(GetParam(), w, s, x, threads), all) << threads << " threads";
  for (s.n = 1; s.n < kMost; ++s.n) {
    ASSERT_EQ(Multiply(GetParam(), w, s, {x.begin(), x.begin() + s.k * s.n}, 2),
              std::vector<float>(all.begin(), all.begin() + s.rows * s.n))
        << s.n << " columns";
  }
}

TEST_P(FloatKernels, PlanesAreSharedAndRowsLieApartAsInAttentionWithoutFlash) {
  ggml_backend_cpu_kernels_register();
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  for (const Shape s : {Shape{64, 33, 5, 6, 3, 0}, Shape{64, 33, 17, 4, 1, 16}, Shape{48, 7, 1, 8, 4, 64},
                        Shape{20, 9, 3, 2, 1, 4}}) {  // the last is ggml's: not a multiple of 16
    const int64_t width = s.k + s.gap;
    const Weights w(GetParam(), width * s.rows * s.planes / s.shared, 9);
    const std::vector<float> x = Normal(s.k * s.n * s.planes, 10);
    const std::vector<float> got = Multiply(GetParam(), w, s, x, 3);
    for (int64_t i = 0; i < int64_t(got.size()); ++i) {
      const int64_t row = i % s.rows, column = i / s.rows, plane = column / s.n / s.shared;
      double exact = 0;
      for (int64_t j = 0; j < s.k; ++j) {
        exact += double(w.values[size_t((plane * s.rows + row) * width + j)]) * x[size_t(column * s.k + j)];
      }
      ASSERT_NEAR(got[size_t(i)], exact, s.k % 16 == 0 ? 1e-5 : 2e-2) << "k " << s.k << " at " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, FloatKernels, testing::Values(GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_F32),
                         [](const auto& info) { return std::string(ggml_type_name(info.param)); });

}  // namespace
