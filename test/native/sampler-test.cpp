#include "engine/sampler.h"

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "engine/tokenizer.h"
#include "test-model.h"

namespace sotto {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

const std::vector<std::string> kAllSamplers = {"penalties", "dry",   "top_n_sigma", "top_k",      "typical_p",
                                               "top_p",     "min_p", "xtc",         "temperature"};

class SamplerTest : public ModelTest {
 protected:
  void SetUp() override {
    ModelTest::SetUp();
    if (!model_) return;
    logits_.resize(size_t(model_->info().vocabulary));
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 3);
    for (float& logit : logits_) logit = normal(random);
  }

  SamplingOptions Greedy() const {
    SamplingOptions options;
    options.temperature = 0;
    return options;
  }
  int32_t Best() const { return int32_t(std::max_element(logits_.begin(), logits_.end()) - logits_.begin()); }
  std::string ReasonFor(const SamplingOptions& options) const {
    std::string message;
    EXPECT_EQ(CodeOf([&] { Sampler(*model_, options, nullptr); }, &message), ErrorCode::kOptionInvalid);
    return message;
  }

  std::vector<float> logits_;
};

TEST_F(SamplerTest, GreedyTakesTheFirstOfTheLargestLogitsWhereverItIs) {
  Sampler sampler(*model_, Greedy(), nullptr);
  for (size_t at = 0; at < logits_.size(); at += 7) {
    std::vector<float> logits = logits_;
    logits[at] = 100;
    if (at + 3 < logits.size()) logits[at + 3] = 100;
    ASSERT_EQ(sampler.Sample(logits.data()), int32_t(at));
  }
}

TEST_F(SamplerTest, BiasMovesTheChoiceAndMinusInfinityForbidsIt) {
  SamplingOptions options = Greedy();
  const int32_t best = Best();
  options.logit_bias = {{best, -kInfinity}, {5, 60}, {5, 40}};
  EXPECT_EQ(Sampler(*model_, options, nullptr).Sample(logits_.data()), 5);
  options.temperature = 0.8f;
  options.order = kAllSamplers;
  EXPECT_EQ(Sampler(*model_, options, nullptr).Sample(logits_.data()), 5);
  options.logit_bias = {{best, -kInfinity}};
  Sampler sampler(*model_, options, nullptr);
  for (int i = 0; i < 200; ++i) ASSERT_NE(sampler.Sample(logits_.data()), best);
}

TEST_F(SamplerTest, TheSameSeedGivesTheSameTokensAndAnotherOneOthers) {
  const auto draw = [this](uint32_t seed) {
    SamplingOptions options;
    options.seed = seed;
    options.order = {"temperature"};
    options.temperature = 2;
    Sampler sampler(*model_, options, nullptr);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 32; ++i) tokens.push_back(sampler.Sample(logits_.data()));
    return tokens;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
}

TEST_F(SamplerTest, PenaltiesMakeARepeatedTokenLoseTheArgMax) {
  SamplingOptions options = Greedy();
  options.order = {"penalties"};
  options.frequency_penalty = 100;
  Sampler sampler(*model_, options, nullptr);
  const int32_t first = sampler.Sample(logits_.data());
  EXPECT_EQ(first, Best());
  sampler.Accept(first);
  EXPECT_NE(sampler.Sample(logits_.data()), first);
}

TEST_F(SamplerTest, OrderDecidesWhatTopKKeeps) {
  SamplingOptions options = Greedy();
  options.frequency_penalty = 100;
  options.typical_p = 0.999f;
  options.top_k = 1;
  options.order = {"top_k", "penalties", "typical_p"};
  Sampler truncate_first(*model_, options, nullptr);
  truncate_first.Accept(Best());
  EXPECT_EQ(truncate_first.Sample(logits_.data()), Best());
}

TEST_F(SamplerTest, EverySamplerAloneAndTogetherGivesATokenOfTheVocabulary) {
  std::vector<std::vector<std::string>> orders = {kAllSamplers, {}};
  for (const std::string& name : kAllSamplers) orders.push_back({name});
  for (const auto& order : orders) {
    for (int mirostat = 0; mirostat <= 2; ++mirostat) {
      SamplingOptions options;
      options.order = order;
      options.mirostat = mirostat;
      options.typical_p = 0.9f;
      options.top_n_sigma = 1;
      options.xtc_probability = 1;
      options.dry_multiplier = 0.8f;
      options.dry_sequence_breakers = {"\n", "日"};
      options.dynatemp_range = 0.5f;
      options.repeat_penalty = 1.1f;
      Sampler sampler(*model_, options, nullptr);
      for (int i = 0; i < 20; ++i) {
        const int32_t token = sampler.Sample(logits_.data());
        ASSERT_GE(token, 0);
        ASSERT_LT(token, model_->info().vocabulary);
        sampler.Accept(token);
      }
    }
  }
}

// An xtc that does nothing, as its threshold says, is nevertheless a sampler that has to see everything.
TEST_F(SamplerTest, ATruncationInFrontOfTheChainChangesNoToken) {
  SamplingOptions options;
  options.seed = 3;
  options.top_k = 6;
  options.min_p = 0.02f;
  options.temperature = 1.5f;
  options.xtc_probability = 1;
  options.xtc_threshold = 0.9f;
  options.dry_multiplier = 0.8f;
  options.dry_allowed_length = 1;
  options.repeat_last_n = 10;
  options.frequency_penalty = -0.5f;
  options.logit_bias = {{Best(), -kInfinity}, {7, 9}, {100, -2}, {511, 12}};
  const std::vector<std::vector<std::string>> orders = {{"top_k", "min_p"},
                                                        {"min_p"},
                                                        {"penalties", "dry", "top_k"},
                                                        {"dry", "penalties", "min_p"},
                                                        {"temperature", "top_k"}};
  for (const auto& order : orders) {
    options.order = order;
    options.order.push_back("xtc");
    Sampler cut(*model_, options, nullptr);
    options.order = {"xtc"};
    options.order.insert(options.order.end(), order.begin(), order.end());
    Sampler whole(*model_, options, nullptr);
    std::mt19937 random(4);
    for (int i = 0; i < 200; ++i) {
      std::ranges::shuffle(logits_, random);
      const int32_t token = whole.Sample(logits_.data());
      ASSERT_EQ(cut.Sample(logits_.data()), token);
      whole.Accept(token);
      cut.Accept(token);
    }
  }
}

TEST_F(SamplerTest, LogitsThatAreNoNumbersNeverWinAndNeverCrash) {
  for (const float poison : {kNaN, kInfinity, -kInfinity, 3e38f, -3e38f}) {
    for (int mirostat = 0; mirostat <= 2; ++mirostat) {
      for (const float temperature : {0.f, 1e-30f, 0.8f, 100.f}) {
        SamplingOptions options;
        options.order = kAllSamplers;
        options.temperature = temperature;
        options.mirostat = mirostat;
        options.typical_p = 0.5f;
        options.dynatemp_range = 0.3f;
        options.xtc_probability = 1;
        options.repeat_penalty = 1000;
        std::vector<float> logits = logits_;
        for (size_t i = 0; i < logits.size(); i += 3) logits[i] = poison;
        Sampler sampler(*model_, options, nullptr);
        for (int i = 0; i < 5; ++i) {
          const int32_t token = sampler.Sample(logits.data());
          ASSERT_GE(token, 0);
          ASSERT_LT(token, model_->info().vocabulary);
          if (std::isnan(poison)) {
            ASSERT_NE(token % 3, 0);
          }
          sampler.Accept(token);
        }
      }
    }
  }
  std::fill(logits_.begin(), logits_.end(), kNaN);
  EXPECT_THROW(Sampler(*model_, Greedy(), nullptr).Sample(logits_.data()), std::runtime_error);
  EXPECT_THROW(Sampler(*model_, SamplingOptions{}, nullptr).Sample(logits_.data()), std::runtime_error);
}

TEST_F(SamplerTest, WhenEverythingIsForbiddenTheTextEnds) {
  SamplingOptions options = Greedy();
  for (int32_t token = 0; token < model_->info().vocabulary; ++token)
    options.logit_bias.emplace_back(token, -kInfinity);
  EXPECT_TRUE(llama_vocab_is_eog(model_->vocab(), Sampler(*model_, options, nullptr).Sample(logits_.data())));
  options.temperature = 1;
  EXPECT_TRUE(llama_vocab_is_eog(model_->vocab(), Sampler(*model_, options, nullptr).Sample(logits_.data())));
}

TEST_F(SamplerTest, OptionsThatUpstreamWouldAssertOnAreNamedAsTheUserKnowsThem) {
  SamplingOptions options;
  options.repeat_penalty = 0;
  EXPECT_NE(ReasonFor(options).find("repeatPenalty"), std::string::npos);
  options = {};
  options.logit_bias = {{model_->info().vocabulary, 1.f}};
  EXPECT_NE(ReasonFor(options).find("logitBias"), std::string::npos);
  options = {};
  options.logit_bias = {{0, kNaN}};
  EXPECT_NE(ReasonFor(options).find("logitBias"), std::string::npos);
  options = {};
  options.top_p = kNaN;
  EXPECT_NE(ReasonFor(options).find("topP"), std::string::npos);
  options = {};
  options.mirostat = 3;
  EXPECT_NE(ReasonFor(options).find("mirostat"), std::string::npos);
  options = {};
  options.repeat_last_n = std::numeric_limits<int32_t>::max();
  EXPECT_NE(ReasonFor(options).find("repeatLastN"), std::string::npos);
  options = {};
  options.dry_sequence_breakers.resize(100000, "x");
  EXPECT_NE(ReasonFor(options).find("drySequenceBreakers"), std::string::npos);
  for (const float temperature : {0.f, 1.f}) {
    options = {};
    options.temperature = temperature;
    options.order = {"top_kk"};
    EXPECT_NE(ReasonFor(options).find("top_kk"), std::string::npos);
  }
}

TEST_F(SamplerTest, LogprobsAreTheSoftmaxOfTheRawLogitsMostLikelyFirst) {
  const Sampler sampler(*model_, Greedy(), nullptr);
  double sum = 0;
  for (const float logit : logits_) sum += std::exp(double(logit));
  const TokenLogprobs result = sampler.Logprobs(logits_.data(), 9, 5);
  EXPECT_EQ(result.chosen.token, 9);
  EXPECT_NEAR(result.chosen.logprob, logits_[9] - std::log(sum), 1e-3);
  ASSERT_EQ(result.top.size(), 5u);
  EXPECT_EQ(result.top[0].token, Best());
  for (size_t i = 1; i < result.top.size(); ++i) EXPECT_GE(result.top[i - 1].logprob, result.top[i].logprob);
  EXPECT_EQ(sampler.Logprobs(logits_.data(), 9, std::numeric_limits<int32_t>::max()).top.size(), logits_.size());
}

TEST_F(SamplerTest, AGrammarConstrainsEveryTokenAndEndsTheText) {
  for (const float temperature : {0.f, 1.5f}) {
    SamplingOptions options;
    options.temperature = temperature;
    options.order = kAllSamplers;
    GrammarSpec spec;
    spec.text = "root ::= \"yes\" | \"no\"";
    Sampler sampler(*model_, options, CompileGrammar(model_->vocab(), spec));
    std::string text;
    for (int i = 0; i < 20; ++i) {
      const int32_t token = sampler.Sample(logits_.data());
      sampler.Accept(token);
      if (llama_vocab_is_eog(model_->vocab(), token)) break;
      text += TokenBytes(model_->vocab(), token, false);
    }
    EXPECT_TRUE(text == "yes" || text == "no") << text;
    // Upstream aborts the process when it is told of an end that its grammar did not expect.
    sampler.Accept(llama_vocab_eos(model_->vocab()));
  }
}

TEST_F(SamplerTest, ATextThatLeavesItsGrammarFailsAndALenientOneGoesOnWithout) {
  GrammarSpec spec;
  spec.text = "root ::= \"yes\"";
  const int32_t wrong = Tokenize(model_->vocab(), "q", false, false)[0];
  Sampler strict(*model_, Greedy(), CompileGrammar(model_->vocab(), spec));
  EXPECT_THROW(strict.Accept(wrong), std::exception);
  EXPECT_EQ(strict.Sample(logits_.data()), Best());  // no abort either
  Sampler lenient(*model_, Greedy(), CompileGrammar(model_->vocab(), spec), true);
  lenient.Accept(wrong);
  EXPECT_EQ(lenient.Sample(logits_.data()), Best());
}

TEST_F(SamplerTest, ALazyGrammarWaitsForItsTrigger) {
  GrammarSpec spec;
  spec.text = "root ::= \"<x>\" \"1\"";
  spec.lazy = true;
  spec.trigger_patterns = {"<x>"};
  Sampler sampler(*model_, Greedy(), CompileGrammar(model_->vocab(), spec), true);
  EXPECT_EQ(sampler.Sample(logits_.data()), Best());
  for (const int32_t token : Tokenize(model_->vocab(), "so <x>", false, false)) sampler.Accept(token);
  EXPECT_EQ(TokenBytes(model_->vocab(), sampler.Sample(logits_.data()), false), "1");
}

}  // namespace
}  // namespace sotto
