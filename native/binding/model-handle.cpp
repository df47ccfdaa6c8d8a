#include "binding/model-handle.h"

#include <utility>

#include "base/error.h"

namespace sotto {

void ModelHandle::Close() {
  closed_ = true;
  Parts parts;
  {
    std::lock_guard lock(mutex_);
    parts = {model_, scheduler_};
  }
  if (!parts.scheduler) return;
  parts.scheduler->Close();
  std::unique_lock lock(mutex_);
  left_.wait(lock, [this] { return guests_ == 0; });
  scheduler_.reset();
  model_.reset();
}

ModelHandle::Parts ModelHandle::parts() const {
  std::lock_guard lock(mutex_);
  if (closed_ || !scheduler_) throw Error(ErrorCode::kModelClosed, "The model is closed");
  return {model_, scheduler_};
}

std::shared_ptr<Scheduler> ModelHandle::scheduler() const {
  std::lock_guard lock(mutex_);
  return scheduler_;
}

std::shared_ptr<ModelHandle::Guest> ModelHandle::Visit() {
  std::lock_guard lock(mutex_);
  if (closed_ || !scheduler_) throw Error(ErrorCode::kModelClosed, "The model is closed");
  auto guest = std::make_shared<Guest>(shared_from_this(), model_);
  ++guests_;
  return guest;
}

ModelHandle::Guest::~Guest() {
  model_.reset();
  std::lock_guard lock(handle_->mutex_);
  --handle_->guests_;
  handle_->left_.notify_all();
}

void ModelHandle::Wake() {
  if (const auto open = scheduler()) open->Wake();
}

void ModelHandle::Unpin(RequestId id) {
  if (const auto open = scheduler()) open->Unpin(id);
}

}  // namespace sotto
