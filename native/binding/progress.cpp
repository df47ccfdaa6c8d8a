#include "binding/progress.h"

#include <cstdint>
#include <utility>

namespace sotto {
namespace {

// The fraction travels in the pointer itself, as parts per million: nothing to free when nobody listens any more.
void Deliver(napi_env env, napi_value callback, void*, void* data) {
  if (!env) return;
  napi_value fraction = nullptr, receiver = nullptr;
  napi_create_double(env, double(reinterpret_cast<uintptr_t>(data)) / 1e6, &fraction);
  napi_get_undefined(env, &receiver);
  napi_call_function(env, receiver, callback, 1, &fraction, nullptr);
}

}  // namespace

std::shared_ptr<ProgressPipe> ProgressPipe::Create(Napi::Env env, Napi::Function callback) {
  std::shared_ptr<ProgressPipe> pipe(new ProgressPipe);
  if (napi_create_threadsafe_function(env, callback, nullptr, Napi::String::New(env, "sotto progress"), 0, 1, nullptr,
                                      nullptr, nullptr, Deliver, &pipe->function_) != napi_ok) {
    throw Napi::Error::New(env);
  }
  napi_unref_threadsafe_function(env, pipe->function_);
  return pipe;
}

void ProgressPipe::Report(float fraction) {
  if (!function_ || (fraction - reported_ < 0.01f && fraction < 1)) return;
  reported_ = fraction;
  void* data = reinterpret_cast<void*>(uintptr_t(double(fraction) * 1e6));
  if (napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) == napi_closing) function_ = nullptr;
}

void ProgressPipe::Close() {
  if (function_) napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_release);
}

}  // namespace sotto
