// scheduler-threads.cpp: the loop and its threads: which pool computes, how many of it, and what a step with so many takes.

#include "base/log.h"
#include "base/probe.h"
#include "engine/scheduler-loop.h"

namespace sotto {
namespace {

constexpr int kUncounted = 2;

}  // namespace

void Scheduler::Loop::Do(ThreadOptions& options) {
  try {
    AttachPool(options);
  } catch (const std::exception& exception) {
    Log(LogLevel::kWarn, exception.what());
  }
}

void Scheduler::Loop::Do(std::unique_ptr<MeasureCommand>& command) {
  double milliseconds = -1;
  if (context_ && running_.empty() && waiting_.empty()) {
    const PrefixCache::Lease lease = cache_->Acquire({}, {}, false);
    if (lease.id >= 0) {
      const llama_token bos = llama_vocab_bos(model_->vocab());
      double total = 0;
      int done = 0;
      // The first steps are not counted: they build the graph, touch the weights, and say whether a crew can share the work.
      for (int i = 0; i < command->tokens + kUncounted && !closing_; ++i) {
        // A turn for each: the answers of another model wait for one step, not for all.
        const auto turn = pool_->Turn([this] { return closing_.load(); });
        if (!turn) break;
        const auto start = Clock::now();
        UseThreads(command->threads, false);
        kernels_->Foreign();
        batch_->Clear();
        batch_->Add(bos == LLAMA_TOKEN_NULL ? 0 : bos, i, lease.id, true);
        if (llama_decode(context_.get(), batch_->get()) != 0) break;
        llama_synchronize(context_.get());
        shareable_ = !kernels_->Foreign();
        if (i < kUncounted) continue;
        total += MillisecondsBetween(start, Clock::now());
        ++done;
      }
      if (done > 0) milliseconds = total / done;
      cache_->Release(lease.id, false);
    }
  }
  command->milliseconds.set_value(milliseconds);
}

void Scheduler::Loop::AttachPool(const ThreadOptions& options) {
  std::shared_ptr<ThreadPool> pool = ThreadPool::Acquire(options);  // throws before anything has changed
  // ggml looks at the pool before, once more, when it computes with another one.
  if (pool_ && pool_ != pool) former_pools_.push_back(std::move(pool_));
  pool_ = std::move(pool);
  options_.threads = options;
  governor_ = ThreadGovernor(options.generation);
  if (embedder_) UseThreadsToEmbed(false);
  threads_ = 0;
  UseThreads(options.generation, true);
}

// `count`, of what generates, or of a crew that prefills. A crew computes where it can, and then it is true that it does; elsewhere, and where
// `pool`, ggml's pool, all of whose threads a prompt gets. Upstream takes every step of more than one row for a prompt: where fewer threads
// or a crew compute, such a step gets what they get.
bool Scheduler::Loop::UseThreads(int count, bool pool) {
  if (!context_) return false;
  Crew* crew = shareable_ && !pool ? pool_->crew(count) : nullptr;
  if (kernels_ && !kernels_->Share(crew)) crew = nullptr;
  const bool all = count == options_.threads.generation;
  const bool few = crew || (!all && !pool);
  if (count == threads_ && few == few_ && crew == crew_) return crew;
  SOTTO_PROBE2(threads__changed, threads_, count);
  const int own = crew ? 1 : count;
  for (llama_context* context : {context_.get(), draft_ ? draft_->context() : nullptr}) {
    if (!context) continue;
    const int of_prompts = few ? own : options_.threads.prompt;
    llama_set_n_threads(context, own, of_prompts);
    llama_attach_threadpool(context, pool_->get(own), pool_->get(of_prompts));
  }
  threads_ = count;
  few_ = few;
  crew_ = crew;
  return crew;
}

// The pool, whose threads share the operations that are ggml's own, unless other programs want the cores.
bool Scheduler::Loop::UseThreadsToEmbed(bool crew) {
  Crew* its = crew && shareable_ ? pool_->crew(options_.threads.prompt) : nullptr;
  if (kernels_ && !kernels_->Share(its)) its = nullptr;
  const int few = its ? 1 : options_.threads.generation, many = its ? 1 : options_.threads.prompt;
  llama_set_n_threads(embedder_->context(), few, many);
  llama_attach_threadpool(embedder_->context(), pool_->get(few), pool_->get(many));
  return its;
}

}  // namespace sotto
