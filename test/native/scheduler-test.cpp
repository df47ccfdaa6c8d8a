// scheduler-test.cpp: the scheduler under many threads, as ThreadSanitizer sees it: submit, cancel, pause and close from
// anywhere, at any time. Needs SOTTO_TEST_MODEL, which scripts/test.mjs makes.

#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "base/error.h"
#include "engine/devices.h"

namespace sotto {
namespace {

class SchedulerTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("SOTTO_TEST_MODEL");
    if (!path) GTEST_SKIP() << "SOTTO_TEST_MODEL names no model";
    InitBackends(".");
    ModelOptions options;
    options.paths = {path};
    const std::atomic<bool> never{false};
    model_ = Model::Load(options, never, nullptr);
  }

  std::unique_ptr<Scheduler> Start(SchedulerOptions options = {}) {
    if (options.context_size == 0) options.context_size = 512;
    options.threads.generation = options.threads.prompt = 2;
    return Scheduler::Create(model_, options, [this](std::vector<Event>&& events) {
      const std::lock_guard lock(mutex_);
      for (Event& event : events) {
        if (event.kind == Event::Kind::kText) texts_[event.id] += event.text;
        if (event.kind == Event::Kind::kDone || event.kind == Event::Kind::kFailed) {
          ends_[event.id].push_back(std::move(event));
          ended_.notify_all();
        }
      }
    });
  }

  std::unique_ptr<Request> Prepare(RequestId id, const std::string& prompt, int max_tokens, RequestControlPtr control) {
    RequestOptions options;
    options.id = id;
    CompletionOptions& completion = options.completion.emplace();
    completion.prompt = prompt;
    completion.max_tokens = max_tokens;
    completion.ignore_eos = true;
    completion.sampling.temperature = 0;
    return PrepareRequest(*model_, std::move(options), std::move(control), Clock::now());
  }

  void AwaitEnds(size_t count) {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return ends_.size() >= count; });
  }

  ModelPtr model_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::map<RequestId, std::string> texts_;
  std::map<RequestId, std::vector<Event>> ends_;
};

TEST_F(SchedulerTest, EveryRequestOfManyThreadsEndsExactlyOnce) {
  constexpr int kThreads = 4, kEach = 12;
  auto scheduler = Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < kEach; ++i) {
        auto control = std::make_shared<RequestControl>();
        scheduler->Submit(
            Prepare(RequestId(t * kEach + i + 1), "Once upon a time " + std::to_string(i % 3), 8, control));
        if (random() % 3 == 0) {
          control->cancelled = true;
          scheduler->Wake();
        } else if (random() % 3 == 0) {
          control->paused = true;
          scheduler->Wake();
          std::this_thread::yield();
          control->paused = false;
          scheduler->Wake();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  AwaitEnds(kThreads * kEach);
  scheduler->Close();
  for (const auto& [id, ends] : ends_) EXPECT_EQ(ends.size(), 1u) << id;
}

TEST_F(SchedulerTest, TheSamePromptGivesTheSameTextAloneAndInCompany) {
  auto scheduler = Start();
  const auto run = [&](RequestId id) {
    scheduler->Submit(Prepare(id, "The sky is", 12, std::make_shared<RequestControl>()));
  };
  run(1);
  AwaitEnds(1);
  for (RequestId id = 2; id < 8; ++id) run(id);
  AwaitEnds(7);
  scheduler->Close();
  for (RequestId id = 2; id < 8; ++id) EXPECT_EQ(texts_[id], texts_[1]);
}

TEST_F(SchedulerTest, CloseFailsWhatRunsAndWhatWaits) {
  SchedulerOptions options;
  options.sequences = 2;
  auto scheduler = Start(options);
  for (RequestId id = 1; id <= 10; ++id) scheduler->Submit(Prepare(id, "Once", -1, std::make_shared<RequestControl>()));
  std::thread other([&] { scheduler->Close(); });
  scheduler->Close();
  other.join();
  scheduler->Submit(Prepare(11, "Once", 1, std::make_shared<RequestControl>()));
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(ends_.size(), 11u);
  EXPECT_EQ(ends_[11][0].code, ErrorCode::kModelClosed);
}

TEST_F(SchedulerTest, ThreadsChangeWhileItRuns) {
  auto scheduler = Start();
  scheduler->Submit(Prepare(1, "Once", 60, std::make_shared<RequestControl>()));
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadOptions options;
    options.generation = options.prompt = threads;
    scheduler->SetThreads(options);
  }
  AwaitEnds(1);
  EXPECT_GT(scheduler->Measure(1, 4), 0);
  scheduler->Close();
  EXPECT_LT(scheduler->Measure(1, 4), 0);
}

TEST_F(SchedulerTest, ThreadsThatCannotBeHadChangeNothing) {
  auto scheduler = Start();
  ThreadOptions options;
  options.generation = options.prompt = 1;
  options.affinity = {-1};
  scheduler->SetThreads(options);
  scheduler->Submit(Prepare(1, "Once", 8, std::make_shared<RequestControl>()));
  AwaitEnds(1);
  EXPECT_EQ(ends_[1][0].kind, Event::Kind::kDone);
}

TEST_F(SchedulerTest, TwoModelsShareOnePool) {
  auto a = Start();
  auto b = Start();
  for (RequestId id = 1; id <= 6; ++id)
    (id % 2 ? a : b)->Submit(Prepare(id, "Once", 20, std::make_shared<RequestControl>()));
  AwaitEnds(6);
  a->Close();
  b->Close();
}

}  // namespace
}  // namespace sotto
