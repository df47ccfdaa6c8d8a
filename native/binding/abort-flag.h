// abort-flag.h: class AbortFlag: how JavaScript stops a load that runs on another thread.
#pragma once

#include <atomic>
#include <memory>

#include "binding/napi-setup.h"

namespace sotto {

class AbortFlag : public Napi::ObjectWrap<AbortFlag> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit AbortFlag(const Napi::CallbackInfo& info);

  // Throws unless `value` is an AbortFlag.
  static std::shared_ptr<std::atomic<bool>> FlagOf(const Napi::Value& value);

  static constexpr napi_type_tag kTag = {0x736f74746f61626f, 0x7274666c61670001};

 private:
  Napi::Value Abort(const Napi::CallbackInfo& info);
  std::shared_ptr<std::atomic<bool>> flag_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace sotto
