// model-handle.h: a loaded model as the binding holds it: weights, scheduler and event pipe, and the flags of the
// requests in flight. Shared by the JS wrapper and the jobs that still need it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "binding/event-pipe.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/scheduler.h"

namespace sotto {

class ModelHandle : public std::enable_shared_from_this<ModelHandle> {
 public:
  ModelHandle(ModelPtr model, std::shared_ptr<Scheduler> scheduler, std::shared_ptr<EventPipe> pipe)
      : pipe_(std::move(pipe)), model_(std::move(model)), scheduler_(std::move(scheduler)) {}
  ~ModelHandle() { Close(); }
  ModelHandle(const ModelHandle&) = delete;
  ModelHandle& operator=(const ModelHandle&) = delete;

  // Any thread. Cancel → drain → free, idempotent; returns when the scheduler's thread has ended and nothing is held
  // here any more. A job that prepares a request may hold the weights a moment longer.
  void Close();
  bool closed() const { return closed_; }

  struct Parts {
    ModelPtr model;
    std::shared_ptr<Scheduler> scheduler;
  };
  Parts parts() const;  // throws Error(kModelClosed); any thread
  // A flag of a request has changed. Any thread; nothing when closed, which may happen at any moment.
  void Wake();
  // The same for what a request pinned: closing frees that too.
  void Unpin(RequestId id);

  // A job that computes with the weights by itself. Close waits for it; it looks at closing() often.
  class Guest {
   public:
    Guest(std::shared_ptr<ModelHandle> handle, ModelPtr model) : handle_(std::move(handle)), model_(std::move(model)) {}
    ~Guest();
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    const ModelPtr& model() const { return model_; }
    bool closing() const { return handle_->closed(); }

   private:
    std::shared_ptr<ModelHandle> handle_;
    ModelPtr model_;
  };
  std::shared_ptr<Guest> Visit();  // throws Error(kModelClosed)

  EventPipe& pipe() { return *pipe_; }
  const std::shared_ptr<EventPipe>& shared_pipe() const { return pipe_; }

  // JS thread only.
  std::unordered_map<RequestId, RequestControlPtr> controls;

 private:
  std::shared_ptr<Scheduler> scheduler() const;  // null when closed

  std::shared_ptr<EventPipe> pipe_;
  mutable std::mutex mutex_;
  std::condition_variable left_;
  int guests_ = 0;
  std::atomic<bool> closed_{false};
  ModelPtr model_;  // outlives scheduler_
  std::shared_ptr<Scheduler> scheduler_;
};

}  // namespace sotto
