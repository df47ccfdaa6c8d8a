// scheduler.h: one thread per model. Owns the llama_context and all sequences; nothing else calls llama_decode.
// In: Submit (a Mailbox) and the flags of RequestControl. Out: the EventSink, once per step.
#pragma once

#include <memory>
#include <string>

#include "engine/context-state.h"
#include "engine/event.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/threads.h"

namespace sotto {

struct SchedulerOptions {
  int32_t context_size = 0;       // KV cells shared by all sequences; 0: min(model's training context, 4096)
  int32_t batch_size = 512;       // most tokens in one step
  int32_t sequences = 8;          // most requests running at once
  int32_t cached_sequences = 24;  // finished ones whose KV is kept for prefix reuse
  int32_t queue_limit = 1024;     // most requests waiting
  ggml_type type_k = GGML_TYPE_F16;
  ggml_type type_v = GGML_TYPE_F16;
  int flash_attention = -1;  // -1 auto, 0 off, 1 on
  bool offload_kv = true;
  bool prefix_cache = true;
  int32_t pooling = -1;                                  // llama_pooling_type for embeddings; -1: the model's own
  SpeculationMode speculation = SpeculationMode::kAuto;  // of requests that do not say
  int32_t draft_tokens = kMostDrafted;                   // most that the draft model proposes in one step
  ThreadOptions threads;
};

struct SchedulerInfo {
  int32_t context_size = 0;
  int32_t batch_size = 0;
  int32_t sequences = 0;
  uint64_t kv_bytes = 0;
  bool can_shift = false;
  bool can_speculate = false;
};

class Scheduler {
 public:
  // Creates the context (on the calling thread: a failure is a load failure) and starts the thread.
  // `draft`: a small model of the same vocabulary that proposes tokens, or null.
  // Throws Error(kModelMemory | kOptionInvalid | kModelUnsupported | kDraftInvalid).
  static std::unique_ptr<Scheduler> Create(ModelPtr model, const SchedulerOptions& options, EventSink sink,
                                           ModelPtr draft = nullptr);
  ~Scheduler();  // calls Close
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Any thread. A request that cannot be taken any more leaves by the sink as kFailed(kModelClosed | kQueueFull).
  void Submit(std::unique_ptr<Request> request);
  // Any thread: a RequestControl flag has changed.
  void Wake();
  // Any thread: new thread counts from the next step on.
  void SetThreads(const ThreadOptions& options);
  // Any thread: what this request pinned may be forgotten. Nothing when it did not, or has been unpinned.
  void Unpin(RequestId id);
  // Runs `tokens` single-token steps on a scratch sequence when idle and returns milliseconds per step, or a negative
  // number when the scheduler was busy or closing. Blocks the caller (a libuv job).
  double Measure(int threads, int tokens);
  // Conversations are kept under the ids that their requests carry. Any thread.
  // `expected`: its requests wait until it is restored, or not expected any more.
  void ExpectContext(ContextId context, bool expected);
  // Nothing of it is kept. `wipe`: zeros where its keys and values were, and in every other cell that nobody uses.
  void DropContext(ContextId context, bool wipe);
  // What is kept of it, when it does not run; null: nothing, or not what can be restored. Blocks the caller (a libuv job).
  ContextStatePtr SaveContext(ContextId context, bool evict, bool wipe);
  // Its next turn goes on with `state`; where that is not of this model, nothing else changes, and the turn computes everything.
  void RestoreContext(ContextId context, std::string principal, ContextStatePtr state);
  const SchedulerInfo& info() const;

  // Cancel → drain → free. Idempotent, any thread; returns when the thread has ended and the context is freed.
  // Requests in flight end as kFailed(kModelClosed).
  void Close();

 private:
  class Loop;
  explicit Scheduler(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace sotto
