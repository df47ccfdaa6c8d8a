// progress.h: how far a load is, from a libuv thread to a JavaScript callback, at most once a percent.
#pragma once

#include <memory>

#include "binding/napi-setup.h"

namespace sotto {

class ProgressPipe {
 public:
  static std::shared_ptr<ProgressPipe> Create(Napi::Env env, Napi::Function callback);
  void Report(float fraction);  // the loading thread only
  void Close();                 // JS thread, after the last Report

 private:
  ProgressPipe() = default;
  napi_threadsafe_function function_ = nullptr;
  float reported_ = -1;
};

}  // namespace sotto
