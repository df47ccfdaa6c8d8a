// speculative-answer-test.cpp: answers stay what they are with speculation: greedy, sampled, under a grammar, in company, aborted, at the
// end of the context, and with a draft model.

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>

#include "engine/prefix-cache.h"
#include "engine/scheduler.h"
#include "engine/tokenizer.h"
#include "test-model.h"

namespace sotto {
namespace {

// With the real model: SOTTO_TEST_REAL_MODEL.
class SpeculativeAnswerTest : public testing::Test {
 protected:
  void SetUp() override {
    TestModel();  // starts the backends
    const char* path = std::getenv("SOTTO_TEST_REAL_MODEL");
    if (!path) GTEST_SKIP() << "SOTTO_TEST_REAL_MODEL names no model";
    static const ModelPtr model = [path] {
      InitBackends(".");
      ModelOptions options;
      options.paths = {path};
      const std::atomic<bool> never{false};
      return Model::Load(options, never, nullptr);
    }();
    model_ = model;
  }

  std::unique_ptr<Scheduler> Start(int context_size = 1024, ModelPtr draft = nullptr) {
    SchedulerOptions options;
    options.context_size = context_size;
    options.threads.generation = options.threads.prompt = 2;
    return Scheduler::Create(
        model_, options,
        [this](std::vector<Event>&& events) {
          const std::lock_guard lock(mutex_);
          for (Event& event : events) {
            if (event.kind == Event::Kind::kText) texts_[event.id] += event.text;
            if (event.kind == Event::Kind::kLogprobs) {
              for (TokenLogprobs& token : event.logprobs) {
                tokens_[event.id].push_back(token.chosen.token);
                logprobs_[event.id].push_back(std::move(token));
              }
            }
            if (event.kind == Event::Kind::kDone || event.kind == Event::Kind::kFailed) {
              ends_[event.id] = std::move(event);
            }
          }
          changed_.notify_all();
        },
        std::move(draft));
  }

  CompletionOptions Ask(const std::string& prompt, SpeculationMode mode, int max_tokens = 80) {
    CompletionOptions options;
    options.prompt = prompt;
    options.parse_special = true;
    options.max_tokens = max_tokens;
    options.sampling.temperature = 0;
    options.speculation = mode;
    options.logprobs = 3;
    options.reuse_prefix = false;
    return options;
  }

  RequestControlPtr Submit(Scheduler& scheduler, RequestId id, CompletionOptions completion) {
    auto control = std::make_shared<RequestControl>();
    RequestOptions options;
    options.id = id;
    options.completion = std::move(completion);
    scheduler.Submit(PrepareRequest(*model_, std::move(options), control, Clock::now()));
    return control;
  }

  const Result& Await(RequestId id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ends_.count(id) > 0; });
    EXPECT_TRUE(ends_[id].result) << ends_[id].text;
    static const Result none;
    return ends_[id].result ? *ends_[id].result : none;
  }

  // The same request with and without drafts: the same tokens. Returns the result with drafts.
  const Result& ExpectSame(Scheduler& scheduler, const CompletionOptions& options) {
    const RequestId plain = ++last_, ahead = ++last_;
    CompletionOptions off = options;
    off.speculation = SpeculationMode::kOff;
    Submit(scheduler, plain, off);
    const Result& without = Await(plain);
    EXPECT_EQ(without.tokens_drafted, 0);
    Submit(scheduler, ahead, options);
    const Result& with = Await(ahead);
    EXPECT_EQ(tokens_[ahead], tokens_[plain]);
    EXPECT_EQ(texts_[ahead], texts_[plain]);
    EXPECT_EQ(with.finish_reason, without.finish_reason);
    EXPECT_EQ(with.tokens_generated, without.tokens_generated);
    return with;
  }

  static std::string Chat(const std::string& text) {
    return "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n";
  }

  const std::string copy_ = Chat(
      "Repeat this text word for word:\n\nThe harbour of Ostend lies between two long wooden piers. Every morning at "
      "half "
      "past five the fishing boats return, and the women of the market wait on the quay with baskets and scales.");
  const std::string chat_ = Chat("Why is the sky blue?");

  ModelPtr model_;
  RequestId last_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<RequestId, std::string> texts_;
  std::map<RequestId, std::vector<int32_t>> tokens_;
  std::map<RequestId, std::vector<TokenLogprobs>> logprobs_;
  std::map<RequestId, Event> ends_;
};

TEST_F(SpeculativeAnswerTest, GreedyAnswersAreTheSame) {
  auto scheduler = Start();
  const Result& copied = ExpectSame(*scheduler, Ask(copy_, SpeculationMode::kAlways));
  EXPECT_GT(copied.tokens_accepted, copied.tokens_generated / 2);
  EXPECT_LE(copied.tokens_accepted, copied.tokens_drafted);
  ExpectSame(*scheduler, Ask(chat_, SpeculationMode::kAlways));
  ExpectSame(*scheduler, Ask(copy_, SpeculationMode::kAuto));
  ExpectSame(*scheduler, Ask(chat_, SpeculationMode::kAuto));
}

TEST_F(SpeculativeAnswerTest, SampledAnswersOfTheSameSeedAreTheSame) {
  auto scheduler = Start();
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    CompletionOptions options = Ask(copy_, SpeculationMode::kAlways);
    options.sampling.order = {"penalties", "top_k", "top_p", "min_p", "temperature"};
    options.sampling.temperature = 0.7f;
    options.sampling.repeat_penalty = 1.02f;
    options.sampling.seed = seed;
    const Result& result = ExpectSame(*scheduler, options);
    EXPECT_GT(result.tokens_drafted, result.tokens_accepted);
    options.sampling.mirostat = 2;
    ExpectSame(*scheduler, options);
  }
}

TEST_F(SpeculativeAnswerTest, AGrammarIsFollowedTokenByToken) {
  auto scheduler = Start();
  CompletionOptions options = Ask(Chat("List fruits as JSON."), SpeculationMode::kAlways, 120);
  options.grammar = R"(root ::= "[" item ("," item){6} "]"
item ::= "{\"name\": \"" [a-z]+ "\", \"count\": " [0-9] "}")";
  const Result& result = ExpectSame(*scheduler, options);
  EXPECT_GT(result.tokens_accepted, 0);
}

TEST_F(SpeculativeAnswerTest, AStopStringAndTheLastTokenEndItInTheMiddleOfADraft) {
  auto scheduler = Start();
  CompletionOptions options = Ask(copy_, SpeculationMode::kAlways);
  options.stop = {"past five the"};
  EXPECT_EQ(ExpectSame(*scheduler, options).finish_reason, FinishReason::kStop);
  for (const int tokens : {1, 2, 17, 30, 31, 32}) {
    EXPECT_EQ(ExpectSame(*scheduler, Ask(copy_, SpeculationMode::kAlways, tokens)).tokens_generated, tokens);
  }
}

TEST_F(SpeculativeAnswerTest, WhatACutOffDraftLeftIsNotRemembered) {
  auto scheduler = Start();
  CompletionOptions options = Ask(copy_, SpeculationMode::kAlways, 30);
  options.stop = {"wooden"};
  options.reuse_prefix = true;
  Submit(*scheduler, 101, options);
  Await(101);
  options.stop.clear();
  Submit(*scheduler, 102, options);
  EXPECT_GT(Await(102).tokens_reused, 0);
  options.reuse_prefix = false;
  options.speculation = SpeculationMode::kOff;
  Submit(*scheduler, 103, options);
  Await(103);
  EXPECT_EQ(texts_[102], texts_[103]);
}

TEST_F(SpeculativeAnswerTest, TheContextEndsWhereItWould) {
  auto scheduler = Start(256);
  CompletionOptions options = Ask(copy_, SpeculationMode::kAlways, -1);
  options.ignore_eos = true;
  EXPECT_EQ(ExpectSame(*scheduler, options).finish_reason, FinishReason::kContext);
}

TEST_F(SpeculativeAnswerTest, AShiftedContextGoesOn) {
  auto scheduler = Start(256);
  CompletionOptions options = Ask(copy_, SpeculationMode::kAlways, 400);
  options.ignore_eos = true;
  options.overflow = Overflow::kShift;
  Submit(*scheduler, 1, options);
  const Result& result = Await(1);
  EXPECT_EQ(result.tokens_generated, 400);
  EXPECT_GT(result.tokens_accepted, 0);
}

TEST_F(SpeculativeAnswerTest, SeveralAtOnceWriteWhatEachWritesAlone) {
  auto scheduler = Start(2048);
  const std::string prompts[] = {copy_, chat_, Chat("Count from one to twenty."), copy_ + "The harbour"};
  for (RequestId id = 0; id < 4; ++id) {
    Submit(*scheduler, 200 + id, Ask(prompts[id], SpeculationMode::kOff, 60));
    Await(200 + id);
  }
  for (RequestId id = 0; id < 4; ++id) Submit(*scheduler, 300 + id, Ask(prompts[id], SpeculationMode::kAlways, 60));
  int accepted = 0;
  for (RequestId id = 0; id < 4; ++id) accepted += Await(300 + id).tokens_accepted;
  EXPECT_GT(accepted, 40);
  // Cells lie in another order beside those of others, and attention adds them up so: two tokens that are nearly equally likely
  // may change places, with drafts and without.
  for (RequestId id = 0; id < 4; ++id) {
    const std::vector<int32_t>&alone = tokens_[200 + id], &together = tokens_[300 + id];
    const size_t at = size_t(CommonPrefix(alone, together));
    if (at == alone.size() && at == together.size()) continue;
    ASSERT_LT(at, std::min(alone.size(), together.size())) << id;
    const std::vector<TokenLogprob>& rivals = logprobs_[200 + id][at].top;
    const auto chosen = std::find_if(rivals.begin(), rivals.end(),
                                     [&](const TokenLogprob& rival) { return rival.token == together[at]; });
    ASSERT_NE(chosen, rivals.end()) << id;
    EXPECT_LT(rivals[0].logprob - chosen->logprob, 0.5f)
        << id;  // a sum that rounds otherwise changes quantised activations
  }
}

TEST_F(SpeculativeAnswerTest, PreemptedSequencesGoOnWhereTheyWere) {
  auto scheduler = Start(256);
  for (RequestId id = 1; id <= 4; ++id) {
    CompletionOptions options = Ask(std::to_string(id) + copy_, SpeculationMode::kAlways, 60);
    options.ignore_eos = true;
    Submit(*scheduler, id, options);
  }
  for (RequestId id = 1; id <= 4; ++id) {
    EXPECT_EQ(Await(id).tokens_generated, 60);
    EXPECT_EQ(tokens_[id].size(), 60u);
  }
}

TEST_F(SpeculativeAnswerTest, AbortAndPauseWorkInTheMiddle) {
  auto scheduler = Start();
  CompletionOptions options = Ask(copy_, SpeculationMode::kAlways, 500);
  options.ignore_eos = true;
  const RequestControlPtr control = Submit(*scheduler, 901, options);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_[901].size() > 20; });
  }
  control->paused = true;
  control->cancelled = true;
  scheduler->Wake();
  const Result& result = Await(901);
  EXPECT_EQ(result.finish_reason, FinishReason::kAbort);
  EXPECT_GT(result.tokens_generated, 20);
  EXPECT_LT(result.tokens_generated, 500);
  ExpectSame(*scheduler, Ask(copy_, SpeculationMode::kAlways, 40));
}

TEST_F(SpeculativeAnswerTest, TheModelAsItsOwnDraftIsRightNearlyAlways) {
  auto scheduler = Start(1024, model_);
  const Result& result = ExpectSame(*scheduler, Ask(chat_, SpeculationMode::kAlways, 64));
  EXPECT_GT(result.tokens_accepted, 50);
  EXPECT_GE(result.tokens_accepted, result.tokens_drafted * 9 / 10);
  for (RequestId id = 50; id < 54; ++id) Submit(*scheduler, id, Ask(chat_, SpeculationMode::kAlways, 40));
  for (RequestId id = 50; id < 54; ++id) EXPECT_GT(Await(id).tokens_accepted, 25);
  CompletionOptions sampled = Ask(chat_, SpeculationMode::kAlways, 40);
  sampled.sampling.order = {"top_k", "temperature"};
  sampled.sampling.temperature = 1;
  sampled.sampling.seed = 5;
  ExpectSame(*scheduler, sampled);
}

TEST_F(SpeculativeAnswerTest, ADraftModelOfAnotherVocabularyIsRefused) {
  const ModelPtr tiny = TestModel();
  if (!tiny) GTEST_SKIP() << "SOTTO_TEST_MODEL names no model";
  std::string message;
  EXPECT_EQ(CodeOf([&] { Start(256, tiny); }, &message), ErrorCode::kDraftInvalid);
  EXPECT_NE(message.find("vocabulary"), std::string::npos) << message;
}

}  // namespace
}  // namespace sotto
