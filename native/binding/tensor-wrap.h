// tensor-wrap.h: classes TensorContext, Tensor and TensorGraph as lib/native.ts declares them. A tensor and a graph keep their context, which
// owns the memory; a tensor of a closed context is never looked at.
#pragma once

#include <memory>

#include "binding/napi-setup.h"
#include "tensor/graph.h"
#include "tensor/tensor-context.h"

namespace sotto {

class ContextWrap : public Napi::ObjectWrap<ContextWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit ContextWrap(const Napi::CallbackInfo& info);
  ~ContextWrap();

  static constexpr napi_type_tag kTag = {0x736f74746f74656e, 0x736f7263746f0001};

 private:
  Napi::Value NewTensor(const Napi::CallbackInfo& info);
  Napi::Value Apply(const Napi::CallbackInfo& info);
  Napi::Value NewGraph(const Napi::CallbackInfo& info);
  Napi::Value Used(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  void TellMemory(Napi::Env env, int64_t bytes);

  std::shared_ptr<TensorContext> context_;
  int64_t told_ = 0;  // bytes that V8 knows of
};

class TensorWrap : public Napi::ObjectWrap<TensorWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object New(Napi::Env env, const std::shared_ptr<TensorContext>& context, ggml_tensor* tensor);
  explicit TensorWrap(const Napi::CallbackInfo& info);

  // Throws unless `value` is a tensor of `context`.
  static ggml_tensor* Of(const Napi::Value& value, const TensorContext* context, const char* name);

  static constexpr napi_type_tag kTag = {0x736f74746f74656e, 0x736f720000000001};

 private:
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value Name(const Napi::CallbackInfo& info);
  Napi::Value SetName(const Napi::CallbackInfo& info);
  Napi::Value SetRole(const Napi::CallbackInfo& info);
  Napi::Value ReadFloats(const Napi::CallbackInfo& info);
  Napi::Value ReadBytes(const Napi::CallbackInfo& info);
  Napi::Value WriteFloats(const Napi::CallbackInfo& info);
  Napi::Value WriteBytes(const Napi::CallbackInfo& info);
  ggml_tensor* tensor();  // of an open context that nobody computes with

  std::shared_ptr<TensorContext> context_;
  ggml_tensor* tensor_;
};

class GraphWrap : public Napi::ObjectWrap<GraphWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object New(Napi::Env env, std::shared_ptr<Graph> graph);
  explicit GraphWrap(const Napi::CallbackInfo& info);

  static constexpr napi_type_tag kTag = {0x736f74746f677261, 0x7068000000000001};

 private:
  Napi::Value Expand(const Napi::CallbackInfo& info);
  Napi::Value Backward(const Napi::CallbackInfo& info);
  Napi::Value Gradient(const Napi::CallbackInfo& info);
  Napi::Value Reset(const Napi::CallbackInfo& info);
  Napi::Value Nodes(const Napi::CallbackInfo& info);
  Napi::Value Compute(const Napi::CallbackInfo& info);

  std::shared_ptr<Graph> graph_;
};

void DefineTensors(Napi::Env env, Napi::Object exports);

}  // namespace sotto
