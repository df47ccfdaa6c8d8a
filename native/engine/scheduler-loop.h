// scheduler-loop.h: the inside of Scheduler: one turn of the loop is take, admit, plan, decode, sample, emit. Everything
// here belongs to the scheduler's thread, but for the mailbox, `closing_` and `info_`.
#pragma once

#include <atomic>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <variant>
#include <vector>

#include "base/mailbox.h"
#include "engine/context-state.h"
#include "engine/draft-model.h"
#include "engine/embedder.h"
#include "engine/handles.h"
#include "engine/prefix-cache.h"
#include "engine/prompt-threads.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/state-layout.h"
#include "engine/step-planner.h"
#include "engine/thread-governor.h"

namespace sotto {

class Scheduler::Loop {
 public:
  Loop(ModelPtr model, const SchedulerOptions& options, EventSink sink, ModelPtr draft);
  ~Loop() { Close(); }

  void Submit(std::unique_ptr<Request> request);
  void Wake() { mailbox_.Wake(); }
  void SetThreads(const ThreadOptions& options) { mailbox_.Put(options); }
  void Unpin(RequestId id) { mailbox_.Put(UnpinCommand{id}); }
  double Measure(int threads, int tokens);
  void ExpectContext(ContextId context, bool expected) { mailbox_.Put(ExpectCommand{context, expected}); }
  void DropContext(ContextId context, bool wipe) { mailbox_.Put(DropCommand{context, wipe}); }
  ContextStatePtr SaveContext(ContextId context, bool evict, bool wipe);
  void RestoreContext(ContextId context, std::string principal, ContextStatePtr state) {
    mailbox_.Put(RestoreCommand{context, {std::move(principal), std::move(state)}});
  }
  void Close();
  const SchedulerInfo& info() const { return info_; }

 private:
  struct MeasureCommand {
    int threads;
    int tokens;
    std::promise<double> milliseconds;
  };
  struct UnpinCommand {
    RequestId id;
  };
  struct ExpectCommand {
    ContextId context;
    bool expected;
  };
  struct DropCommand {
    ContextId context;
    bool wipe;
  };
  struct SaveCommand {
    ContextId context;
    bool evict, wipe;
    std::promise<ContextStatePtr> state;
  };
  struct Parked {
    std::string principal;
    ContextStatePtr state;
  };
  struct RestoreCommand {
    ContextId context;
    Parked parked;
  };
  using RequestPtr = std::unique_ptr<Request>;
  using Command = std::variant<RequestPtr, ThreadOptions, std::unique_ptr<MeasureCommand>, UnpinCommand, ExpectCommand,
                               DropCommand, std::unique_ptr<SaveCommand>, RestoreCommand>;

  void Run();
  void Take(std::vector<Command>&& commands);
  void Do(RequestPtr& request);
  void Admit();
  enum class Admission { kAdmitted, kNotNow, kNoRoom };
  Admission TryAdmit(Sequence& sequence);
  bool ParkPaused();
  void Requeue(std::vector<SequencePtr>::iterator position, bool keep);
  bool LeaderIsComing(const Sequence& sequence, int found) const;
  bool ReapCancelled();
  bool Step();
  int32_t Decode();
  bool MakeRoom();
  bool Shift(Sequence& sequence);
  void Advance();
  bool Sample(Sequence& sequence, int row);
  bool Emit(Sequence& sequence, std::string text, bool last);
  void Finish(Sequence& sequence, FinishReason reason, std::string stop_string = {});
  void Fail(Sequence& sequence, ErrorCode code, const std::string& message);
  void Retire(Sequence& sequence);
  bool StepEmbeddings();

  // scheduler-drafts.cpp
  void Draft();
  Proposal Propose(Sequence& sequence);
  void DraftFromModel(const std::vector<Sequence*>& sequences, const std::vector<int>& counts);
  bool Verify(Sequence& sequence);

  // scheduler-pins.cpp
  void Do(UnpinCommand& command);
  bool FitsBesidePins(const Request& request);
  void Pin(Sequence& sequence);

  // scheduler-contexts.cpp
  void Do(ExpectCommand& command);
  void Do(DropCommand& command);
  void Do(std::unique_ptr<SaveCommand>& command);
  void Do(RestoreCommand& command);
  void Release(Sequence& sequence, bool keep);
  void Park(ContextId context, int id);
  Admission Unpark(const Sequence& sequence);
  ContextStatePtr ReadState(int id);
  bool WriteState(const Parked& parked, ContextId context);
  void WipeFreeCells();

  // scheduler-threads.cpp
  void Do(ThreadOptions& options);
  void Do(std::unique_ptr<MeasureCommand>& command);
  void AttachPool(const ThreadOptions& options);
  bool UseThreads(int count, bool pool);
  bool UseThreadsToEmbed(bool crew);

  bool FailIfDamaged(size_t first);
  void FailEverything(ErrorCode code, const std::string& message);
  void Flush();
  static bool AbortCallback(void* data);

  ModelPtr model_;  // outlives the contexts
  SchedulerOptions options_;
  EventSink sink_;
  SchedulerInfo info_;
  std::shared_ptr<ThreadPool> pool_;                       // outlives the contexts
  std::vector<std::shared_ptr<ThreadPool>> former_pools_;  // and so do these
  llama_context_ptr context_;                              // null for models that only embed
  std::unique_ptr<DraftModel> draft_;                      // null: none was given
  std::unique_ptr<PrefixCache> cache_;
  std::unique_ptr<Embedder> embedder_;
  std::unique_ptr<BatchPtr> batch_;
  StepPlanner planner_;
  ThreadGovernor governor_;
  PromptThreads prompt_threads_;
  PromptThreads embedding_threads_;
  KernelUse* kernels_ = nullptr;  // of this thread
  bool shareable_;                // by a crew: nothing of ggml's own is large in a step that generates
  Crew* crew_ = nullptr;          // that shares the work now
  int threads_ = 0;               // that generate now
  bool few_ = false;              // also where several rows are computed
  bool speculates_ = false;
  int drafted_ = 0;     // tokens in the planned step
  int draft_rest_ = 0;  // steps without drafts, since cells are rare

  std::list<SequencePtr> waiting_;
  std::vector<SequencePtr> running_;
  std::map<ContextId, Parked> parked_;  // out of the cache, until their next turn or until somebody takes them
  std::optional<StateLayout> layout_;   // of a sequence's state, once one was seen
  std::set<ContextId> expected_;        // about to be restored: their requests wait
  std::map<RequestId, int> pins_;       // request that pinned → its id in the PrefixCache
  uint64_t arrivals_ = 0;
  std::vector<Event> events_;                     // of this turn
  std::vector<const RequestControl*> abortable_;  // whose cancellation stops the batch that is being computed
  bool embedding_ = false;                        // the batch that is being computed is the embedder's

  std::atomic<bool> closing_{false};
  Mailbox<Command> mailbox_;
  std::once_flag closed_;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace sotto
