// What the kernels do to a real model: logits and perplexity of real text, with them and with ggml's own arithmetic.

#include <gtest/gtest.h>
#include <llama-cpp.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu-kernels/cpu-kernels.h"

// Of ggml's traits.h, whose other contents are of no use here.
std::vector<ggml_backend_buffer_type_t>& ggml_backend_cpu_get_extra_buffer_types();

namespace {

// A page in the public domain: "The Voyage of the Beagle", chapter I.
constexpr const char* kText =
    "After having been twice driven back by heavy southwestern gales, Her Majesty's ship Beagle, a ten-gun brig, under "
    "the "
    "command of Captain Fitz Roy, R. N., sailed from Devonport on the 27th of December, 1831. The object of the "
    "expedition "
    "was to complete the survey of Patagonia and Tierra del Fuego, commenced under Captain King in 1826 to 1830, to "
    "survey "
    "the shores of Chile, Peru, and of some islands in the Pacific, and to carry a chain of chronometrical "
    "measurements "
    "round the World. On the 6th of January we reached Teneriffe, but were prevented landing, by fears of our bringing "
    "the "
    "cholera: the next morning we saw the sun rise behind the rugged outline of the Grand Canary island, and suddenly "
    "illuminate the Peak of Teneriffe, whilst the lower parts were veiled in fleecy clouds. This was the first of many "
    "delightful days never to be forgotten. On the 16th of January, 1832, we anchored at Porto Praya, in St. Jago, the "
    "chief "
    "island of the Cape de Verd archipelago. The neighbourhood of Porto Praya, viewed from the sea, wears a desolate "
    "aspect. "
    "The volcanic fires of a past age, and the scorching heat of a tropical sun, have in most places rendered the soil "
    "unfit "
    "for vegetation. The country rises in successive steps of table-land, interspersed with some truncate conical "
    "hills, and "
    "the horizon is bounded by an irregular chain of more lofty mountains. The scene, as beheld through the hazy "
    "atmosphere "
    "of this climate, is one of great interest; if, indeed, a person, fresh from sea, and who has just walked, for the "
    "first "
    "time, in a grove of cocoa-nut trees, can be a judge of anything but his own happiness. The island would generally "
    "be "
    "considered as very uninteresting, but to anyone accustomed only to an English landscape, the novel aspect of an "
    "utterly "
    "sterile land possesses a grandeur which more vegetation might spoil.";

struct Outcome {
  std::vector<int32_t> tokens;
  std::vector<std::vector<float>> logits;  // log-probabilities, a row a position
};

Outcome Evaluate(const char* path, bool extra, int batch, ggml_type cache = GGML_TYPE_F16) {
  llama_model_params model_params = llama_model_default_params();
  model_params.use_extra_bufts = extra;
  const llama_model_ptr model(llama_model_load_from_file(path, model_params));
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  Outcome outcome;
  const std::string text = kText;
  outcome.tokens.resize(text.size());
  outcome.tokens.resize(size_t(llama_tokenize(vocab, text.data(), int32_t(text.size()), outcome.tokens.data(),
                                              int32_t(outcome.tokens.size()), true, false)));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = uint32_t(outcome.tokens.size());
  params.n_batch = params.n_ubatch = uint32_t(batch);
  params.n_threads = params.n_threads_batch = 2;
  params.type_k = params.type_v = cache;
  const llama_context_ptr context(llama_init_from_model(model.get(), params));
  const int32_t n_vocab = llama_vocab_n_tokens(vocab);
  for (size_t begin = 0; begin < outcome.tokens.size(); begin += size_t(batch)) {
    const int32_t count = int32_t(std::min(size_t(batch), outcome.tokens.size() - begin));
    llama_batch chunk = llama_batch_init(count, 0, 1);
    for (int32_t i = 0; i < count; ++i) {
      chunk.token[i] = outcome.tokens[begin + size_t(i)];
      chunk.pos[i] = int32_t(begin) + i;
      chunk.n_seq_id[i] = 1;
      chunk.seq_id[i][0] = 0;
      chunk.logits[i] = true;
    }
    chunk.n_tokens = count;
    EXPECT_EQ(llama_decode(context.get(), chunk), 0);
    for (int32_t i = 0; i < count; ++i) {
      const float* row = llama_get_logits_ith(context.get(), i);
      double sum = 0, most = row[0];
      for (int32_t t = 1; t < n_vocab; ++t) most = std::max(most, double(row[t]));
      for (int32_t t = 0; t < n_vocab; ++t) sum += std::exp(row[t] - most);
      std::vector<float> logprobs(static_cast<size_t>(n_vocab));
      for (int32_t t = 0; t < n_vocab; ++t) logprobs[size_t(t)] = float(row[t] - most - std::log(sum));
      outcome.logits.push_back(std::move(logprobs));
    }
    llama_batch_free(chunk);
  }
  return outcome;
}

double LogLoss(const Outcome& outcome, size_t i) { return -double(outcome.logits[i][size_t(outcome.tokens[i + 1])]); }

// How far the logarithm of q's perplexity is from p's, and the standard error of that: both said the same tokens, so the
// difference at each of them is a sample.
struct Change {
  double mean = 0, error = 0;
};
Change PerplexityChange(const Outcome& p, const Outcome& q) {
  const double n = double(p.tokens.size() - 1);
  double sum = 0, squares = 0;
  for (size_t i = 0; i + 1 < p.tokens.size(); ++i) {
    const double difference = LogLoss(q, i) - LogLoss(p, i);
    sum += difference;
    squares += difference * difference;
  }
  const double mean = sum / n;
  return {mean, std::sqrt((squares / n - mean * mean) / (n - 1))};
}

double MeanDivergence(const Outcome& p, const Outcome& q) {
  double sum = 0;
  for (size_t i = 0; i < p.logits.size(); ++i) {
    for (size_t t = 0; t < p.logits[i].size(); ++t) {
      sum += std::exp(double(p.logits[i][t])) * (double(p.logits[i][t]) - double(q.logits[i][t]));
    }
  }
  return sum / double(p.logits.size());
}

// Before the first model of any test: ggml makes its list of buffer types once.
class Registered : public testing::Environment {
  void SetUp() override { ggml_backend_cpu_kernels_register(); }
};
[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(new Registered);

// The same model with its weights as floats: nothing is rounded to int8.
class ExactModel {
 public:
  explicit ExactModel(const char* quantised, llama_ftype type = LLAMA_FTYPE_ALL_F32)
      : path_((std::filesystem::temp_directory_path() /
               ("sotto-exact-" + std::to_string(std::random_device()()) + ".gguf"))
                  .string()) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = type;
    params.allow_requantize = true;
    params.nthread = 2;
    EXPECT_EQ(llama_model_quantize(quantised, path_.c_str(), &params), 0u);
  }
  ~ExactModel() { std::filesystem::remove(path_); }
  ExactModel(const ExactModel&) = delete;
  ExactModel& operator=(const ExactModel&) = delete;
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

TEST(CpuKernelsNumerics, ARealModelIsAsNearToExactArithmeticWithThemAndTheSameInAnyBatch) {
  const char* path = std::getenv("SOTTO_TEST_REAL_MODEL");
  if (!path) GTEST_SKIP() << "SOTTO_TEST_REAL_MODEL is not set";
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  const ExactModel floats(path);
  const Outcome exact = Evaluate(floats.path(), false, 512);
  const Outcome upstream = Evaluate(path, false, 512);
  const Outcome ours = Evaluate(path, true, 512), in_sevens = Evaluate(path, true, 7);
  // Both round activations to int8, in blocks of 32: that is the noise, and ours must not add to it.
  const double noise = MeanDivergence(exact, upstream), own = MeanDivergence(exact, ours);
  const Change change = PerplexityChange(exact, ours), upstream_change = PerplexityChange(exact, upstream);
  std::printf(
      "%zu tokens, from exact arithmetic: divergence %.2e (ggml %.2e), perplexity %+.3f %% (ggml %+.3f %%), standard "
      "error %.3f %%\n",
      ours.tokens.size(), own, noise, 100 * change.mean, 100 * upstream_change.mean, 100 * change.error);
  EXPECT_GT(MeanDivergence(upstream, ours), 0) << "the kernels were not used";
  EXPECT_LT(own, 1.1 * noise + 1e-4);
  // A page is too short to see 0.1 %; a bias that a page can see is a wrong kernel.
  EXPECT_LT(std::abs(change.mean), 4 * change.error);
  EXPECT_LT(change.error, 0.01);
  EXPECT_EQ(in_sevens.logits, ours.logits);
}

// ggml asks every buffer type of its list about every attention, also where the weights are not ours.
class WithoutOurs {
 public:
  WithoutOurs() : types_(ggml_backend_cpu_get_extra_buffer_types()) {
    ggml_backend_cpu_get_extra_buffer_types().clear();
  }
  ~WithoutOurs() { ggml_backend_cpu_get_extra_buffer_types() = types_; }
  WithoutOurs(const WithoutOurs&) = delete;
  WithoutOurs& operator=(const WithoutOurs&) = delete;

 private:
  const std::vector<ggml_backend_buffer_type_t> types_;
};

TEST(CpuKernelsNumerics, AQuantisedCacheCostsNoMoreThanWithGgmlAndIsTheSameInAnyBatch) {
  const char* path = std::getenv("SOTTO_TEST_REAL_MODEL");
  if (!path) GTEST_SKIP() << "SOTTO_TEST_REAL_MODEL is not set";
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  const Outcome halves = Evaluate(path, true, 512);
  const auto upstream = [&](ggml_type cache) {
    const WithoutOurs without;
    return Evaluate(path, false, 512, cache);
  };
  const Outcome upstream_halves = upstream(GGML_TYPE_F16);
  for (const ggml_type type : {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}) {
    const Outcome theirs = upstream(type), ours = Evaluate(path, true, 512, type);
    const double noise = MeanDivergence(upstream_halves, theirs), own = MeanDivergence(halves, ours);
    std::printf("a cache of %s, from one of f16: divergence %.2e (ggml %.2e)\n", ggml_type_name(type), own, noise);
    EXPECT_GT(MeanDivergence(theirs, ours), 0) << "the kernels were not used";
    EXPECT_GT(own, 0) << "the cache was not quantised";
    EXPECT_LT(own, 1.1 * noise + 1e-4);
    EXPECT_EQ(Evaluate(path, true, 7, type).logits, ours.logits);
  }
}

// Activations are not rounded, so only the order of sums is left: what f32 weights give, within their noise.
TEST(CpuKernelsNumerics, HalvesOfARealModelGiveWhatTheSameWeightsGiveAsFloats) {
  const char* path = std::getenv("SOTTO_TEST_REAL_MODEL");
  if (!path) GTEST_SKIP() << "SOTTO_TEST_REAL_MODEL is not set";
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  for (const llama_ftype type : {LLAMA_FTYPE_MOSTLY_F16, LLAMA_FTYPE_MOSTLY_BF16}) {
    const ExactModel halves(path, type);
    const ExactModel floats(halves.path());
    const Outcome exact = Evaluate(floats.path(), false, 512);
    const Outcome ours = Evaluate(halves.path(), true, 512);
    const double divergence = MeanDivergence(exact, ours);
    std::printf("type %d: divergence %.2e, perplexity %+.4f %%\n", int(type), divergence,
                100 * PerplexityChange(exact, ours).mean);
    EXPECT_LT(divergence, 1e-5);
    EXPECT_EQ(Evaluate(halves.path(), true, 7).logits, ours.logits);
  }
}

TEST(CpuKernelsNumerics, AModelOfExpertsIsAsNearToExactArithmeticWithThem) {
  const char* path = std::getenv("SOTTO_TEST_EXPERTS_MODEL");
  if (!path) GTEST_SKIP() << "SOTTO_TEST_EXPERTS_MODEL is not set";
  if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
  const ExactModel floats(path);
  const Outcome exact = Evaluate(floats.path(), false, 512);
  const Outcome upstream = Evaluate(path, false, 512), ours = Evaluate(path, true, 512);
  const double noise = MeanDivergence(exact, upstream), own = MeanDivergence(exact, ours);
  std::printf("experts: divergence %.2e (ggml %.2e)\n", own, noise);
  EXPECT_GT(MeanDivergence(upstream, ours), 0) << "the kernels were not used";
  EXPECT_LT(own, 1.5 * noise + 1e-4);
  EXPECT_EQ(Evaluate(path, true, 7).logits, ours.logits);
}

}  // namespace
