#include "binding/abort-flag.h"

#include "base/error.h"
#include "binding/wrap.h"

namespace sotto {

Napi::Function AbortFlag::Define(Napi::Env env) {
  return DefineClass(env, "AbortFlag",
                     {
                         // abort(): void
                         Method<AbortFlag, &AbortFlag::Abort>("abort"),
                     });
}

AbortFlag::AbortFlag(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

std::shared_ptr<std::atomic<bool>> AbortFlag::FlagOf(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) {
    throw Error(ErrorCode::kOptionInvalid, "Expected an AbortFlag");
  }
  return Unwrap(value.As<Napi::Object>())->flag_;
}

Napi::Value AbortFlag::Abort(const Napi::CallbackInfo& info) {
  *flag_ = true;
  return info.Env().Undefined();
}

}  // namespace sotto
