#include "binding/progress.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace sotto {
namespace {

constexpr std::chrono::milliseconds kPatience{200};

// A call that Node refuses once the environment is going; it changes nothing.
bool CanRunJavaScript(napi_env env) {
  napi_value object = nullptr;
  bool has = false;
  return napi_create_object(env, &object) == napi_ok && napi_has_named_property(env, object, "x", &has) == napi_ok;
}

}  // namespace

std::shared_ptr<ProgressPipe> ProgressPipe::Create(Napi::Env env, std::optional<Napi::Function> callback,
                                                   std::shared_ptr<std::atomic<bool>> abort) {
  std::shared_ptr<ProgressPipe> pipe(new ProgressPipe(std::move(abort)));
  auto own = std::make_unique<std::shared_ptr<ProgressPipe>>(pipe);  // freed by Finalized
  const napi_value function = callback ? napi_value(*callback) : nullptr;
  if (napi_create_threadsafe_function(env, function, nullptr, Napi::String::New(env, "sotto progress"), 0, 1, own.get(),
                                      Finalized, pipe.get(), Deliver, &pipe->function_) != napi_ok) {
    throw Napi::Error::New(env);
  }
  (void)own.release();
  napi_unref_threadsafe_function(env, pipe->function_);
  return pipe;
}

void ProgressPipe::Report(float fraction) {
  if (!function_) return;
  const auto now = std::chrono::steady_clock::now();
  if (fraction - reported_ < 0.01f && fraction < 1) {
    // Not worth telling; but somebody has to ask whether anybody is there to be told.
    if (now - called_ < kPatience) return;
    fraction = std::max(reported_, 0.0f);
  }
  reported_ = fraction;
  called_ = now;
  // The fraction travels in the pointer itself, as parts per million: nothing to free when nobody listens any more.
  void* data = reinterpret_cast<void*>(uintptr_t(double(fraction) * 1e6));
  if (napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) == napi_closing) function_ = nullptr;
}

void ProgressPipe::Close() {
  if (function_) napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_release);
}

void ProgressPipe::Deliver(napi_env env, napi_value callback, void* context, void* data) {
  ProgressPipe& pipe = *static_cast<ProgressPipe*>(context);
  if (!env || !CanRunJavaScript(env)) {
    *pipe.abort_ = true;
    return;
  }
  if (!callback || (data && data == pipe.told_)) return;
  pipe.told_ = data;
  napi_value fraction = nullptr, receiver = nullptr;
  napi_create_double(env, double(reinterpret_cast<uintptr_t>(data)) / 1e6, &fraction);
  napi_get_undefined(env, &receiver);
  napi_call_function(env, receiver, callback, 1, &fraction, nullptr);
}

void ProgressPipe::Finalized(napi_env, void* data, void*) { delete static_cast<std::shared_ptr<ProgressPipe>*>(data); }

}  // namespace sotto
