// environment.h: what one JavaScript environment (main thread or worker) owns: its classes and its open handles. No
// mutable statics: any number of environments load the addon side by side.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <vector>

#include "binding/napi-setup.h"

namespace sotto {

class ModelHandle;

// Open handles and running loads of an environment; closes what was forgotten, newest first, when the environment ends.
// JS thread only.
class Reaper {
 public:
  void Add(const std::shared_ptr<ModelHandle>& handle);
  void AddLoad(const std::shared_ptr<std::atomic<bool>>& abort);
  // Aborts loads and closes models; returns when their threads have ended. Idempotent.
  void CloseAll();

 private:
  std::list<std::weak_ptr<ModelHandle>> handles_;
  std::list<std::weak_ptr<std::atomic<bool>>> loads_;
};

class Environment : public Napi::Addon<Environment> {
 public:
  Environment(Napi::Env env, Napi::Object exports);
  ~Environment();

  static Environment& Of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
  Reaper& reaper() { return reaper_; }
  Napi::FunctionReference& context_state_class() { return context_state_class_; }
  Napi::FunctionReference& model_class() { return model_class_; }
  Napi::FunctionReference& tensor_class() { return tensor_class_; }
  Napi::FunctionReference& graph_class() { return graph_class_; }

 private:
  static void OnCleanup(void* self);

  Napi::Env env_;
  Reaper reaper_;
  Napi::FunctionReference model_class_, context_state_class_, tensor_class_, graph_class_;
};

}  // namespace sotto
