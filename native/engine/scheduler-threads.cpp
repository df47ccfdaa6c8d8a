// scheduler-threads.cpp: the loop and its threads: which pool computes, how many of it, and what a step with so many takes.

#include "base/probe.h"
#include "engine/scheduler-loop.h"

namespace sotto {

void Scheduler::Loop::RunMeasure(MeasureCommand& command) {
  double milliseconds = -1;
  if (context_ && running_.empty() && waiting_.empty()) {
    const PrefixCache::Lease lease = cache_->Acquire({}, {}, false);
    if (lease.id >= 0) {
      const llama_token bos = llama_vocab_bos(model_->vocab());
      const auto turn = pool_->Turn([this] { return closing_.load(); });
      UseThreads(options_.threads.generation, true);
      const int generation = llama_n_threads(context_.get()), prompt = llama_n_threads_batch(context_.get());
      llama_set_n_threads(context_.get(), command.threads, prompt);
      Clock::time_point start;
      int done = 0;
      // The first step is not counted: it builds the graph and touches the weights.
      for (int i = 0; i <= command.tokens && !closing_; ++i) {
        if (i == 1) start = Clock::now();
        batch_->Clear();
        batch_->Add(bos == LLAMA_TOKEN_NULL ? 0 : bos, i, lease.id, true);
        if (llama_decode(context_.get(), batch_->get()) != 0) break;
        llama_synchronize(context_.get());
        done = i;
      }
      if (done > 0) milliseconds = MillisecondsBetween(start, Clock::now()) / done;
      llama_set_n_threads(context_.get(), generation, prompt);
      cache_->Release(lease.id, false);
    }
  }
  command.milliseconds.set_value(milliseconds);
}

void Scheduler::Loop::AttachPool(const ThreadOptions& options) {
  std::shared_ptr<ThreadPool> pool = ThreadPool::Acquire(options);  // throws before anything has changed
  // ggml looks at the pool before, once more, when it computes with another one.
  if (pool_ && pool_ != pool) former_pools_.push_back(std::move(pool_));
  pool_ = std::move(pool);
  options_.threads = options;
  governor_ = ThreadGovernor(options.generation);
  if (embedder_) {
    llama_set_n_threads(embedder_->context(), options.generation, options.prompt);
    llama_attach_threadpool(embedder_->context(), pool_->get(), pool_->get());
  }
  threads_ = 0;
  UseThreads(options.generation, true);
}

// Of what generates; prompts always get all of theirs. Upstream takes every step of more than one row for a prompt: where fewer
// threads generate, such a step gets as few, unless somebody prefills in it.
void Scheduler::Loop::UseThreads(int generation, bool prefill) {
  const bool all = generation == options_.threads.generation;
  const bool few = !all && !prefill;
  if (!context_ || (generation == threads_ && few == few_)) return;
  SOTTO_PROBE2(threads__changed, threads_, generation);
  for (llama_context* context : {context_.get(), draft_ ? draft_->context() : nullptr}) {
    if (!context) continue;
    const ggml_threadpool_t own = all ? pool_->get() : pool_->get(generation);
    llama_set_n_threads(context, generation, few ? generation : options_.threads.prompt);
    llama_attach_threadpool(context, own, few ? own : pool_->get());
  }
  threads_ = generation;
  few_ = few;
}

}  // namespace sotto
