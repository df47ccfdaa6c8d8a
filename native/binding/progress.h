// progress.h: how far a load or another long job is, from a libuv thread to a JavaScript callback, at most once a percent; and, on the way, the news
// that the environment is going: Node waits for running jobs before it calls cleanup hooks, but turns its event loop while
// it waits, and there it shows that JavaScript cannot run any more. Otherwise worker.terminate() would wait for the whole load.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "binding/napi-setup.h"

namespace sotto {

class ProgressPipe {
 public:
  // `abort` is set when the environment is going. Without a callback that is all it does.
  static std::shared_ptr<ProgressPipe> Create(Napi::Env env, std::optional<Napi::Function> callback,
                                              std::shared_ptr<std::atomic<bool>> abort);
  void Report(float fraction);  // the loading thread only
  void Close();                 // JS thread, after the last Report

 private:
  explicit ProgressPipe(std::shared_ptr<std::atomic<bool>> abort) : abort_(std::move(abort)) {}
  static void Deliver(napi_env env, napi_value callback, void* context, void* data);
  static void Finalized(napi_env env, void* data, void* hint);

  std::shared_ptr<std::atomic<bool>> abort_;
  napi_threadsafe_function function_ = nullptr;
  float reported_ = -1;
  std::chrono::steady_clock::time_point called_;
  void* told_ = nullptr;  // JS thread
};

}  // namespace sotto
