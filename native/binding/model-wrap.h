// model-wrap.h: class Model as lib/native.ts declares it. Reads arguments, calls the engine, wraps the result; no
// logic.
#pragma once

#include <memory>

#include "binding/model-handle.h"
#include "binding/napi-setup.h"

namespace sotto {

class ModelWrap : public Napi::ObjectWrap<ModelWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit ModelWrap(const Napi::CallbackInfo& info);
  ~ModelWrap();

  // Throws unless `value` is a Model.
  static const std::shared_ptr<ModelHandle>& HandleOf(const Napi::Value& value);

  static constexpr napi_type_tag kTag = {0x736f74746f6d6f64, 0x656c777261700001};

 private:
  static Napi::Value Load(const Napi::CallbackInfo& info);
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value Submit(const Napi::CallbackInfo& info);
  Napi::Value Embed(const Napi::CallbackInfo& info);
  Napi::Value Pin(const Napi::CallbackInfo& info);
  Napi::Value Unpin(const Napi::CallbackInfo& info);
  Napi::Value ExpectContext(const Napi::CallbackInfo& info);
  Napi::Value DropContext(const Napi::CallbackInfo& info);
  Napi::Value SaveContext(const Napi::CallbackInfo& info);
  Napi::Value RestoreContext(const Napi::CallbackInfo& info);
  Napi::Value Cancel(const Napi::CallbackInfo& info);
  Napi::Value Pause(const Napi::CallbackInfo& info);
  Napi::Value Tokenize(const Napi::CallbackInfo& info);
  Napi::Value Detokenize(const Napi::CallbackInfo& info);
  Napi::Value ApplyTemplate(const Napi::CallbackInfo& info);
  Napi::Value SetThreads(const Napi::CallbackInfo& info);
  Napi::Value Measure(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  void Start(Napi::Env env, RequestOptions&& options);

  std::shared_ptr<ModelHandle> handle_;
  Napi::ObjectReference info_;
  Napi::Reference<Napi::Promise> closing_;
};

}  // namespace sotto
