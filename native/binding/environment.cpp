#include "binding/environment.h"

#include "binding/abort-flag.h"
#include "binding/context-state-wrap.h"
#include "binding/evaluate.h"
#include "binding/integrity.h"
#include "binding/model-handle.h"
#include "binding/model-wrap.h"
#include "binding/quantize.h"
#include "binding/system.h"
#include "binding/tensor-wrap.h"
#include "binding/wrap.h"

namespace sotto {

void Reaper::Add(const std::shared_ptr<ModelHandle>& handle) {
  handles_.remove_if([](const auto& other) { return other.expired(); });
  handles_.push_front(handle);
}

void Reaper::AddLoad(const std::shared_ptr<std::atomic<bool>>& abort) {
  loads_.remove_if([](const auto& other) { return other.expired(); });
  loads_.push_front(abort);
}

void Reaper::CloseAll() {
  for (const auto& load : loads_) {
    if (const auto abort = load.lock()) *abort = true;
  }
  for (const auto& weak : handles_) {
    if (const auto handle = weak.lock()) handle->Close();
  }
}

Environment::Environment(Napi::Env env, Napi::Object exports) : env_(env) {
  PinAddon();
  const Napi::Function model = ModelWrap::Define(env);
  model_class_ = Napi::Persistent(model);
  tensor_class_ = Napi::Persistent(TensorWrap::Define(env));
  graph_class_ = Napi::Persistent(GraphWrap::Define(env));
  const Napi::Function context_state = ContextStateWrap::Define(env);
  context_state_class_ = Napi::Persistent(context_state);
  exports.Set("ContextState", context_state);
  // shutdown(): void
  const auto shutdown = [](const Napi::CallbackInfo& info) -> Napi::Value {
    Of(info.Env()).reaper().CloseAll();
    return info.Env().Undefined();
  };
  exports.Set("AbortFlag", AbortFlag::Define(env));
  exports.Set("Model", model);
  exports.Set("shutdown", Napi::Function::New(env, shutdown, "shutdown"));
  DefineSystem(env, exports);
  DefineIntegrity(env, exports);
  DefineQuantize(env, exports);
  DefineEvaluate(env, exports);
  DefineTensors(env, exports);
  napi_add_env_cleanup_hook(env, OnCleanup, this);
}

Environment::~Environment() { napi_remove_env_cleanup_hook(env_, OnCleanup, this); }

// The scheduler threads end here, before V8 and the thread-safe functions they call go.
void Environment::OnCleanup(void* self) { static_cast<Environment*>(self)->reaper_.CloseAll(); }

}  // namespace sotto
