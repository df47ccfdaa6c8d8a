// The expert matmul inside a graph of ggml: packed planes and planes of floats, experts with no, one and many rows.

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu-kernels/cpu-kernels.h"
#include "compute-graph.h"

namespace {

constexpr int64_t kColumns = 512, kRows = 53, kExperts = 5;

struct Experts {
  explicit Experts(ggml_type type) : type(type) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 0.05f);
    values.resize(size_t(kColumns * kRows * kExperts));
    for (float& value : values) value = normal(random);
    bytes.resize(ggml_row_size(type, kColumns) * size_t(kRows * kExperts));
    ggml_quantize_chunk(type, values.data(), bytes.data(), 0, kRows * kExperts, kColumns, nullptr);
    if (type == GGML_TYPE_F32) return;
    for (int64_t r = 0; r < kRows * kExperts; ++r) {
      ggml_get_type_traits(type)->to_float(bytes.data() + ggml_row_size(type, kColumns) * size_t(r),
                                           values.data() + r * kColumns, kColumns);
    }
  }
  ggml_type type;
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

// Which experts a token goes to: `used` different ones of a token, the last expert never.
std::vector<int32_t> Choices(int64_t used, int64_t tokens) {
  std::vector<int32_t> choices;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t i = 0; i < used; ++i) choices.push_back(int32_t((token % 7 ? i : token + i) % (kExperts - 1)));
  }
  return choices;
}

struct Trial {
  ggml_backend_buffer_type_t weights_type = nullptr;
  int64_t used = 2, tokens = 1;
  bool shared = true;  // all experts of a token get the same column
  int threads = 2;
};

std::vector<float> Multiply(const Experts& experts, const std::vector<float>& x, const Trial& trial) {
  const ggml_init_params params = {ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr, true};
  const ggml_context_ptr weights(ggml_init(params)), rest(ggml_init(params));
  ggml_tensor* w = ggml_new_tensor_3d(weights.get(), experts.type, kColumns, kRows, kExperts);
  const ggml_backend_buffer_ptr held(ggml_backend_alloc_ctx_tensors_from_buft(weights.get(), trial.weights_type));
  ggml_backend_tensor_set(w, experts.bytes.data(), 0, experts.bytes.size());
  ggml_tensor* b = ggml_new_tensor_3d(rest.get(), GGML_TYPE_F32, kColumns, trial.shared ? 1 : trial.used, trial.tokens);
  ggml_tensor* ids = ggml_new_tensor_2d(rest.get(), GGML_TYPE_I32, trial.used, trial.tokens);
  ggml_tensor* c = ggml_mul_mat_id(rest.get(), w, b, ids);
  const ggml_backend_buffer_ptr room(
      ggml_backend_alloc_ctx_tensors_from_buft(rest.get(), ggml_backend_cpu_buffer_type()));
  const std::vector<int32_t> choices = Choices(trial.used, trial.tokens);
  ggml_backend_tensor_set(b, x.data(), 0, ggml_nbytes(b));
  ggml_backend_tensor_set(ids, choices.data(), 0, ggml_nbytes(ids));
  ggml_cgraph* graph = ggml_new_graph(rest.get());
  ggml_build_forward_expand(graph, c);
  ComputeGraph(graph, trial.threads);
  std::vector<float> out(size_t(ggml_nelements(c)));
  ggml_backend_tensor_get(c, out.data(), 0, ggml_nbytes(c));
  return out;
}

class MulMatId : public testing::TestWithParam<ggml_type> {};

TEST_P(MulMatId, EveryRowMeetsItsOwnExpertWhateverTheThreadsAndTheCompany) {
  ggml_backend_cpu_kernels_register();
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  const Experts experts(GetParam());
  const bool floats = !ggml_is_quantized(GetParam());
  Trial trial;
  trial.weights_type = floats ? ggml_backend_cpu_buffer_type() : ggml_backend_cpu_kernels_buffer_type();
  for (trial.shared = false; trial.used >= 1; trial.used--, trial.shared = !trial.shared) {
    std::mt19937 random(8);
    std::normal_distribution<float> normal;
    constexpr int64_t kMost = 37;
    std::vector<float> x(size_t(kColumns * kMost * (trial.shared ? 1 : trial.used)));
    for (float& value : x) value = normal(random);
    trial.tokens = kMost;
    trial.threads = 1;
    const std::vector<float> all = Multiply(experts, x, trial);
    const std::vector<int32_t> choices = Choices(trial.used, kMost);
    for (size_t i = 0; i < all.size(); ++i) {
      const size_t choice = i / kRows, column = trial.shared ? choice / size_t(trial.used) : choice;
      const float* w = experts.values.data() + (size_t(choices[choice]) * kRows + i % kRows) * kColumns;
      double exact = 0;
      for (size_t j = 0; j < kColumns; ++j) exact += double(w[j]) * x[column * kColumns + j];
      ASSERT_NEAR(all[i], exact, floats ? 1e-5 : 0.06) << "at " << i;
    }
    for (const int threads : {3, -2, -5}) {
      trial.threads = threads;
      EXPECT_EQ(Multiply(experts, x, trial), all) << trial.threads;
    }
    trial.threads = 2;
    EXPECT_EQ(Multiply(experts, x, trial), all) << trial.threads;
    for (trial.tokens = 1; trial.tokens < kMost; ++trial.tokens) {
      ASSERT_EQ(Multiply(experts, x, trial),
                std::vector<float>(all.begin(), all.begin() + trial.tokens * trial.used * kRows))
          << trial.tokens << " tokens";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MulMatId,
                         testing::Values(GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0,
                                         GGML_TYPE_IQ4_NL, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
                                         GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_F32),
                         [](const auto& info) { return std::string(ggml_type_name(info.param)); });

}  // namespace
