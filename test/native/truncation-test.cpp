// What a chain makes of the candidates that a truncation leaves, against what it makes of the whole row: bit for bit.

#include "engine/truncation.h"

#include <gtest/gtest.h>
#include <llama-cpp.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>

#include "engine/recent-tokens.h"
#include "engine/tokenizer.h"
#include "test-model.h"

namespace sotto {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using Row = std::vector<float>;
using Chain = std::function<llama_sampler_ptr()>;

llama_sampler_ptr ChainOf(std::initializer_list<llama_sampler*> samplers) {
  llama_sampler_ptr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  for (llama_sampler* sampler : samplers) llama_sampler_chain_add(chain.get(), sampler);
  llama_sampler_chain_add(chain.get(), llama_sampler_init_dist(7));
  return chain;
}

// As much as a chain leaves: tokens, logits, probabilities, and which was drawn.
std::vector<uint32_t> Leaves(llama_sampler* chain, std::vector<llama_token_data> candidates) {
  llama_token_data_array array = {candidates.data(), candidates.size(), -1, false};
  if (!candidates.empty()) llama_sampler_apply(chain, &array);
  std::vector<uint32_t> bits{uint32_t(array.selected)};
  for (size_t i = 0; i < array.size; ++i) {
    bits.push_back(uint32_t(array.data[i].id));
    bits.push_back(std::bit_cast<uint32_t>(array.data[i].logit));
    bits.push_back(std::bit_cast<uint32_t>(array.data[i].p));
  }
  return bits;
}

std::vector<llama_token_data> Whole(const Row& row) {
  std::vector<llama_token_data> whole;
  for (size_t i = 0; i < row.size(); ++i) {
    if (Tame(row[i]) != kNever) whole.push_back({llama_token(i), Tame(row[i]), 0});
  }
  return whole;
}

// The same seed and the same text behind both; `text` is accepted by turns, a draw after each token.
size_t ExpectTheSame(const Row& row, Truncation truncation, const Chain& make,
                     const std::vector<llama_token>& text = {}) {
  const llama_sampler_ptr whole = make(), cut = make();
  RecentTokens recent(int32_t(text.size()));
  std::vector<llama_token_data> kept;
  const auto draw = [&] {
    truncation.Apply(row.data(), int32_t(row.size()), recent.counts(), kept);
    EXPECT_EQ(Leaves(whole.get(), Whole(row)), Leaves(cut.get(), kept));
  };
  draw();
  const size_t most = kept.size();
  for (const llama_token token : text) {
    llama_sampler_accept(whole.get(), token);
    llama_sampler_accept(cut.get(), token);
    recent.Accept(token);
    draw();
  }
  return most;
}

llama_sampler_ptr Default(int32_t k) {
  return ChainOf({llama_sampler_init_top_k(k), llama_sampler_init_top_p(0.95f, 0), llama_sampler_init_min_p(0.05f, 0),
                  llama_sampler_init_temp_ext(0.8f, 0, 1)});
}

Row Random(size_t count, uint32_t seed, float spread = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  Row row(count);
  for (float& logit : row) logit = normal(random);
  return row;
}

// Rows that a sort, a heap or a threshold may stumble over.
std::vector<Row> Adversaries() {
  std::vector<Row> rows;
  for (const size_t count : {1, 2, 39, 40, 41, 63, 64, 65, 129, 1000, 4999}) {
    rows.push_back(Random(count, uint32_t(count)));
    rows.emplace_back(count, 1.5f);
    rows.emplace_back(count, -kInfinity);
    Row steps = Random(count, uint32_t(count));  // so few values that many are equal at any threshold
    for (float& logit : steps) logit = std::round(logit);
    rows.push_back(steps);
    Row rising(count), falling(count), one_above(count, -2.f);
    for (size_t i = 0; i < count; ++i) {
      rising[i] = float(i) * 0.01f;
      falling[i] = -float(i) * 0.01f;
    }
    one_above[count - 1] = 5;
    rows.insert(rows.end(), {rising, falling, one_above});
    for (const float poison : {kNaN, kInfinity, -kInfinity, 3e38f, -3e38f}) {
      for (const size_t every : {1, 3, 64}) {
        Row poisoned = steps;
        for (size_t i = 0; i < count; i += every) poisoned[i] = poison;
        rows.push_back(poisoned);
      }
    }
  }
  return rows;
}

TEST(Truncation, LeavesATopKWhatItKeepsOfAnyRow) {
  for (const Row& row : Adversaries()) {
    for (const int32_t k : {1, 2, 40, 128, 129, 700, std::numeric_limits<int32_t>::max()}) {
      ExpectTheSame(row, Truncation::ToMostLikely(k), [k] { return Default(k); });
      if (HasFailure()) FAIL() << row.size() << " logits from " << row[0] << ", k " << k;
    }
  }
}

TEST(Truncation, LeavesAMinPWhatItKeepsOfAnyRow) {
  for (const Row& row : Adversaries()) {
    for (const float p : {1.f, 0.5f, 0.05f, 1e-6f, 1e-45f}) {
      ExpectTheSame(row, Truncation::ToShareOfLargest(p), [p] {
        return ChainOf({llama_sampler_init_min_p(p, 1), llama_sampler_init_temp_ext(0.8f, 0, 1)});
      });
      if (HasFailure()) FAIL() << row.size() << " logits from " << row[0] << ", p " << p;
    }
  }
}

TEST(Truncation, LeavesFew) {
  const Row row = Random(128000, 1);
  EXPECT_LT(ExpectTheSame(row, Truncation::ToMostLikely(40), [] { return Default(40); }), 1000u);
  EXPECT_LT(ExpectTheSame(row, Truncation::ToShareOfLargest(0.05f),
                          [] { return ChainOf({llama_sampler_init_min_p(0.05f, 0)}); }),
            1000u);
}

TEST(Truncation, KeepsWhatPenaltiesMayRaiseOrLower) {
  std::vector<llama_token> text;
  for (llama_token i = 0; i < 100; ++i) text.push_back(i * 37 % 400);
  for (const float repeat : {0.5f, 1.f, 1.5f}) {
    for (const float frequency : {-3.f, 0.f, 3.f}) {
      for (const int32_t last_n : {1, 20, 100}) {
        const auto penalties = [&] { return llama_sampler_init_penalties(1000, last_n, repeat, frequency, 0.5f); };
        for (const bool steps : {false, true}) {
          Row row = Random(1000, 5);
          if (steps) std::ranges::transform(row, row.begin(), [](float logit) { return std::round(logit); });
          ExpectTheSame(
              row, Truncation::ToMostLikely(40),
              [&] {
                return ChainOf({penalties(), llama_sampler_init_top_k(40)});
              },
              text);
          ExpectTheSame(
              row, Truncation::ToShareOfLargest(0.05f),
              [&] {
                return ChainOf({penalties(), llama_sampler_init_min_p(0.05f, 0)});
              },
              text);
        }
      }
    }
  }
}

TEST(Truncation, OfATopKHoldsBehindATemperature) {
  for (const Row& row : Adversaries()) {
    for (const float temperature : {0.001f, 0.8f, 1000.f}) {  // the last makes equal what was not
      ExpectTheSame(row, Truncation::ToMostLikely(40), [temperature] {
        return ChainOf({llama_sampler_init_temp_ext(temperature, 0, 1), llama_sampler_init_top_k(40)});
      });
    }
  }
}

class TruncationOfModel : public ModelTest {};

TEST_F(TruncationOfModel, KeepsWhatDryLowers) {
  const std::vector<int32_t> text = Tokenize(model_->vocab(), "the cat and the cat and the cat and the", false, false);
  Row row = Random(size_t(model_->info().vocabulary), 3, 1);
  for (const int32_t token : text) row[size_t(token)] = 5;
  const char* breaker = "\n";
  ExpectTheSame(
      row, Truncation::ToMostLikely(10),
      [&] {
        return ChainOf(
            {llama_sampler_init_dry(model_->vocab(), 5, 1.75f, 2, 64, &breaker, 1), llama_sampler_init_top_k(10)});
      },
      text);
}

TEST(Truncation, OfARealModelsLogitsChangesNothing) {
  const char* path = std::getenv("SOTTO_TEST_REAL_MODEL");
  if (!path) GTEST_SKIP() << "SOTTO_TEST_REAL_MODEL is not set";
  const llama_model_ptr model(llama_model_load_from_file(path, llama_model_default_params()));
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  std::vector<int32_t> tokens = Tokenize(
      vocab, "The capital of France is Paris. Once upon a time there was a little model, and\n\n1. 2. 3.", true, false);
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = uint32_t(tokens.size());
  params.n_threads = params.n_threads_batch = 2;
  const llama_context_ptr context(llama_init_from_model(model.get(), params));
  std::vector<int8_t> all(tokens.size(), 1);
  llama_batch batch = llama_batch_get_one(tokens.data(), int32_t(tokens.size()));
  batch.logits = all.data();
  ASSERT_EQ(llama_decode(context.get(), batch), 0);
  const size_t n_vocab = size_t(llama_vocab_n_tokens(vocab));
  for (int32_t i = 0; i < int32_t(tokens.size()); ++i) {
    const float* logits = llama_get_logits_ith(context.get(), i);
    const Row row(logits, logits + n_vocab);
    for (const int32_t k : {1, 40, 1000}) {
      ExpectTheSame(row, Truncation::ToMostLikely(k), [k] { return Default(k); });
    }
    ExpectTheSame(row, Truncation::ToShareOfLargest(0.05f), [] {
      return ChainOf({llama_sampler_init_min_p(0.05f, 0), llama_sampler_init_temp_ext(1.5f, 0, 1)});
    });
  }
}

}  // namespace
}  // namespace sotto
