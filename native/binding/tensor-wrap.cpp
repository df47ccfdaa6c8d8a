#include "binding/tensor-wrap.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "binding/abort-flag.h"
#include "binding/args.h"
#include "binding/backends.h"
#include "binding/environment.h"
#include "binding/job.h"
#include "binding/progress.h"
#include "binding/wrap.h"
#include "tensor/operations.h"
#include "tensor/tensor-data.h"
#include "tensor/tensor-info.h"

namespace sotto {
namespace {

constexpr double kMostBytes = 9007199254740991.0;  // 2^53 - 1

// What New hands to a constructor.
struct MadeTensor {
  std::shared_ptr<TensorContext> context;
  ggml_tensor* tensor;
};
constexpr napi_type_tag kMadeTensorTag = {0x736f74746f6d6164, 0x6574656e00000001};
struct MadeGraph {
  std::shared_ptr<Graph> graph;
};
constexpr napi_type_tag kMadeGraphTag = {0x736f74746f6d6164, 0x6567726100000001};

template <typename Made>
Made& ReadMade(const Napi::CallbackInfo& info, const napi_type_tag& tag, const char* message) {
  if (!info[0].IsExternal() || !info[0].As<Napi::External<Made>>().CheckTypeTag(&tag)) {
    throw Napi::TypeError::New(info.Env(), message);
  }
  return *info[0].As<Napi::External<Made>>().Data();
}

size_t ReadSize(const Napi::Value& value, const char* name) {
  const double number = ReadNumber(value, name);
  if (std::trunc(number) == number && number >= 0 && number <= kMostBytes) return size_t(number);
  throw Error(ErrorCode::kOptionInvalid, std::string("Expected ") + name + " to be an integer of at least 0");
}

std::vector<int64_t> ReadIntegerList(const Napi::Value& value, const char* name) {
  if (!value.IsArray())
    throw Error(ErrorCode::kOptionInvalid, std::string("Expected ") + name + " to be an array of integers");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> list;
  for (uint32_t i = 0; i < array.Length() && i < 5; ++i) list.push_back(ReadInt(array.Get(i), name));
  return list;
}

std::vector<Argument> ReadArguments(const Operation& operation, const Napi::Array& values,
                                    const TensorContext* context) {
  const Call names(operation.name, operation.parameters, {});
  if (values.Length() != operation.kinds.size()) {
    throw Error(ErrorCode::kOptionInvalid, std::string(operation.name) + ": expected " +
                                               std::to_string(operation.kinds.size()) + " arguments (" +
                                               operation.parameters + "), received " + std::to_string(values.Length()));
  }
  std::vector<Argument> arguments(operation.kinds.size());
  for (uint32_t i = 0; i < arguments.size(); ++i) {
    const Napi::Value value = values.Get(i);
    const std::string name = std::string(operation.name) + ": " + names.name(i);
    switch (operation.kinds[i]) {
      case 'o':
        if (value.IsNull() || value.IsUndefined()) break;
        [[fallthrough]];
      case 't': arguments[i].tensor = TensorWrap::Of(value, context, name.c_str()); break;
      case 'b': arguments[i].number = ReadBool(value, name.c_str()); break;
      case 's':
      case 'n': arguments[i].list = ReadIntegerList(value, name.c_str()); break;
      default: arguments[i].number = ReadNumber(value, name.c_str());
    }
  }
  return arguments;
}

template <typename Array, typename Item>
Napi::Value ArrayOf(Napi::Env env, const std::vector<Item>& items) {
  Array array = Array::New(env, items.size());
  if (!items.empty()) std::memcpy(array.Data(), items.data(), items.size() * sizeof(Item));
  return array;
}

template <typename Array>
Array ReadArray(const Napi::Value& value, napi_typedarray_type type, const char* expected) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw Error(ErrorCode::kOptionInvalid, std::string("Expected data to be ") + expected);
  }
  return value.As<Array>();
}

// tensorOperations(): NativeTensorOperation[]
Napi::Value TensorOperations(const Napi::CallbackInfo& info) {
  const std::vector<Operation>& operations = Operations();
  Napi::Array array = Napi::Array::New(info.Env(), operations.size());
  for (uint32_t i = 0; i < operations.size(); ++i) {
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("name", operations[i].name);
    entry.Set("parameters", operations[i].parameters);
    entry.Set("kinds", operations[i].kinds);
    array.Set(i, entry);
  }
  return array;
}

}  // namespace

Napi::Function ContextWrap::Define(Napi::Env env) {
  return DefineClass(env, "TensorContext",
                     {
                         Method<ContextWrap, &ContextWrap::NewTensor>("newTensor"),
                         Method<ContextWrap, &ContextWrap::Apply>("apply"),
                         Method<ContextWrap, &ContextWrap::NewGraph>("newGraph"),
                         Method<ContextWrap, &ContextWrap::Used>("used"),
                         Method<ContextWrap, &ContextWrap::Close>("close"),
                     });
}

ContextWrap::ContextWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  try {
    const size_t bytes = ReadSize(info[0], "memSize");
    StartBackends();
    context_ = std::make_shared<TensorContext>(bytes, ReadString(info[1], "device"));
    TellMemory(info.Env(), int64_t(bytes));
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw ToJs(info.Env(), DescribeException(std::current_exception()));
  }
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

// Collected: what was forgotten is closed. A graph that still computes keeps the context until it has ended.
ContextWrap::~ContextWrap() { TellMemory(Env(), -told_); }

void ContextWrap::TellMemory(Napi::Env env, int64_t bytes) {
  if (bytes == 0) return;
  told_ += bytes;
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
}

// newTensor(type: number, shape: number[]): NativeTensor
Napi::Value ContextWrap::NewTensor(const Napi::CallbackInfo& info) {
  const int32_t type = ReadInt(info[0], "type", 0, GGML_TYPE_COUNT - 1);
  if (ggml_blck_size(ggml_type(type)) == 0) throw Error(ErrorCode::kTensorType, "Expected a type that ggml knows");
  ggml_tensor* tensor = context_->NewTensor(ggml_type(type), ReadIntegerList(info[1], "shape"));
  return TensorWrap::New(info.Env(), context_, tensor);
}

// apply(operation: number, values: unknown[]): NativeTensor
Napi::Value ContextWrap::Apply(const Napi::CallbackInfo& info) {
  const Operation& operation = Operations()[size_t(ReadInt(info[0], "operation", 0, int32_t(Operations().size()) - 1))];
  if (!info[1].IsArray()) throw Error(ErrorCode::kOptionInvalid, "Expected values to be an array");
  context_->arena();
  ggml_tensor* tensor = context_->Apply(operation, ReadArguments(operation, info[1].As<Napi::Array>(), context_.get()));
  return TensorWrap::New(info.Env(), context_, tensor);
}

// newGraph(limit: number): NativeTensorGraph
Napi::Value ContextWrap::NewGraph(const Napi::CallbackInfo& info) {
  context_->arena();
  return GraphWrap::New(info.Env(), std::make_shared<Graph>(context_, ReadSize(info[0], "limit")));
}

// used(): number
Napi::Value ContextWrap::Used(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(context_->arena().used()));
}

// close(): void
Napi::Value ContextWrap::Close(const Napi::CallbackInfo& info) {
  context_->Close();
  TellMemory(info.Env(), -told_);
  return info.Env().Undefined();
}

Napi::Function TensorWrap::Define(Napi::Env env) {
  return DefineClass(env, "Tensor",
                     {
                         Method<TensorWrap, &TensorWrap::Info>("info"),
                         Method<TensorWrap, &TensorWrap::Name>("name"),
                         Method<TensorWrap, &TensorWrap::SetName>("setName"),
                         Method<TensorWrap, &TensorWrap::SetRole>("setRole"),
                         Method<TensorWrap, &TensorWrap::ReadFloats>("readFloats"),
                         Method<TensorWrap, &TensorWrap::ReadBytes>("readBytes"),
                         Method<TensorWrap, &TensorWrap::WriteFloats>("writeFloats"),
                         Method<TensorWrap, &TensorWrap::WriteBytes>("writeBytes"),
                     });
}

Napi::Object TensorWrap::New(Napi::Env env, const std::shared_ptr<TensorContext>& context, ggml_tensor* tensor) {
  MadeTensor made{context, tensor};
  Napi::External<MadeTensor> external = Napi::External<MadeTensor>::New(env, &made);
  external.TypeTag(&kMadeTensorTag);
  return Environment::Of(env).tensor_class().New({external});
}

TensorWrap::TensorWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const MadeTensor& made =
      ReadMade<MadeTensor>(info, kMadeTensorTag, "Tensor has no public constructor: use TensorContext.newTensor");
  context_ = made.context;
  tensor_ = made.tensor;
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

ggml_tensor* TensorWrap::Of(const Napi::Value& value, const TensorContext* context, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) {
    throw Error(ErrorCode::kTensorForeign, std::string("Expected ") + name + " to be a tensor");
  }
  const TensorWrap* wrap = Unwrap(value.As<Napi::Object>());
  if (wrap->context_.get() != context) {
    throw Error(ErrorCode::kTensorForeign,
                std::string("Expected ") + name + " to be a tensor of this context, received one of another");
  }
  return wrap->tensor_;
}

ggml_tensor* TensorWrap::tensor() {
  context_->arena();
  return tensor_;
}

// info(): NativeTensorInfo
Napi::Value TensorWrap::Info(const Napi::CallbackInfo& info) {
  if (context_->closed()) context_->arena();  // throws
  const Napi::Env env = info.Env();
  Napi::Array shape = Napi::Array::New(env, GGML_MAX_DIMS), strides = Napi::Array::New(env, GGML_MAX_DIMS);
  for (uint32_t i = 0; i < GGML_MAX_DIMS; ++i) {
    shape.Set(i, double(tensor_->ne[i]));
    strides.Set(i, double(tensor_->nb[i]));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("type", int(tensor_->type));
  object.Set("shape", shape);
  object.Set("strides", strides);
  object.Set("contiguous", IsDense(tensor_));
  object.Set("operation", ggml_op_desc(tensor_));
  return object;
}

// name(): string
Napi::Value TensorWrap::Name(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), tensor()->name); }

// setName(name: string): void
Napi::Value TensorWrap::SetName(const Napi::CallbackInfo& info) {
  const std::string name = ReadString(info[0], "name");
  if (name.size() >= GGML_MAX_NAME || name.find('\0') != std::string::npos) {
    throw Error(ErrorCode::kOptionInvalid,
                "Expected name to have at most " + std::to_string(GGML_MAX_NAME - 1) + " bytes of UTF-8 and no NUL");
  }
  ggml_set_name(tensor(), name.c_str());
  return info.Env().Undefined();
}

// setRole(role: string): void
Napi::Value TensorWrap::SetRole(const Napi::CallbackInfo& info) {
  const std::string role = ReadString(info[0], "role");
  ggml_tensor* const tensor = this->tensor();
  if (role == "parameter") {
    if (tensor->op != GGML_OP_NONE || tensor->type != GGML_TYPE_F32) {
      throw Error(ErrorCode::kTensorShape,
                  "Expected a parameter to be a tensor of type F32 that nothing computes, received " +
                      Describe(tensor) + " of " + ggml_op_desc(tensor));
    }
    ggml_set_param(tensor);
  } else if (role == "loss") {
    if (!ggml_is_scalar(tensor) || tensor->type != GGML_TYPE_F32) {
      throw Error(ErrorCode::kTensorShape,
                  "Expected a loss to be a single number of type F32, received " + Describe(tensor));
    }
    ggml_set_loss(tensor);
  } else {
    throw Error(ErrorCode::kOptionInvalid, "Expected role to be \"parameter\" or \"loss\"");
  }
  return info.Env().Undefined();
}

// readFloats(): Float32Array
Napi::Value TensorWrap::ReadFloats(const Napi::CallbackInfo& info) {
  return ArrayOf<Napi::Float32Array>(info.Env(), sotto::ReadFloats(tensor()));
}

// readBytes(): Uint8Array
Napi::Value TensorWrap::ReadBytes(const Napi::CallbackInfo& info) {
  return ArrayOf<Napi::Uint8Array>(info.Env(), sotto::ReadBytes(tensor()));
}

// writeFloats(data: Float32Array): void
Napi::Value TensorWrap::WriteFloats(const Napi::CallbackInfo& info) {
  const auto data = ReadArray<Napi::Float32Array>(info[0], napi_float32_array, "a Float32Array");
  sotto::WriteFloats(tensor(), data.Data(), data.ElementLength());
  return info.Env().Undefined();
}

// writeBytes(data: Uint8Array, offset: number): void
Napi::Value TensorWrap::WriteBytes(const Napi::CallbackInfo& info) {
  const auto data = ReadArray<Napi::Uint8Array>(info[0], napi_uint8_array, "a Uint8Array");
  sotto::WriteBytes(tensor(), data.Data(), data.ElementLength(), ReadSize(info[1], "offset"));
  return info.Env().Undefined();
}

Napi::Function GraphWrap::Define(Napi::Env env) {
  return DefineClass(env, "TensorGraph",
                     {
                         Method<GraphWrap, &GraphWrap::Expand>("expand"),
                         Method<GraphWrap, &GraphWrap::Backward>("backward"),
                         Method<GraphWrap, &GraphWrap::Gradient>("gradient"),
                         Method<GraphWrap, &GraphWrap::Reset>("reset"),
                         Method<GraphWrap, &GraphWrap::Nodes>("nodes"),
                         Method<GraphWrap, &GraphWrap::Compute>("compute"),
                     });
}

Napi::Object GraphWrap::New(Napi::Env env, std::shared_ptr<Graph> graph) {
  MadeGraph made{std::move(graph)};
  Napi::External<MadeGraph> external = Napi::External<MadeGraph>::New(env, &made);
  external.TypeTag(&kMadeGraphTag);
  return Environment::Of(env).graph_class().New({external});
}

GraphWrap::GraphWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  graph_ = ReadMade<MadeGraph>(info, kMadeGraphTag, "TensorGraph has no public constructor: use TensorContext.newGraph")
               .graph;
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

// expand(tensor: NativeTensor): void
Napi::Value GraphWrap::Expand(const Napi::CallbackInfo& info) {
  graph_->Expand(TensorWrap::Of(info[0], graph_->context().get(), "tensor"));
  return info.Env().Undefined();
}

// backward(): void
Napi::Value GraphWrap::Backward(const Napi::CallbackInfo& info) {
  graph_->Backward();
  return info.Env().Undefined();
}

// gradient(tensor: NativeTensor): NativeTensor | undefined
Napi::Value GraphWrap::Gradient(const Napi::CallbackInfo& info) {
  graph_->context()->arena();
  ggml_tensor* gradient = graph_->Gradient(TensorWrap::Of(info[0], graph_->context().get(), "tensor"));
  if (!gradient) return info.Env().Undefined();
  return TensorWrap::New(info.Env(), graph_->context(), gradient);
}

// reset(): void
Napi::Value GraphWrap::Reset(const Napi::CallbackInfo& info) {
  graph_->Reset();
  return info.Env().Undefined();
}

// nodes(): number
Napi::Value GraphWrap::Nodes(const Napi::CallbackInfo& info) {
  graph_->context()->arena();
  return Napi::Number::New(info.Env(), double(graph_->nodes().size()));
}

// compute(threads: number, abort: NativeAbortFlag): Promise<void>
Napi::Value GraphWrap::Compute(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int32_t threads = ReadInt(info[0], "threads", 0, GGML_MAX_N_THREADS);
  const std::shared_ptr<std::atomic<bool>> abort = AbortFlag::FlagOf(info[1]);
  graph_->Prepare();
  // At exit the flag is set by the reaper, in a worker that is terminated by the pipe: Node waits for running jobs in both.
  const std::shared_ptr<ProgressPipe> progress = ProgressPipe::Create(env, std::nullopt, abort);
  Environment::Of(env).reaper().AddLoad(abort);
  graph_->context()->BeginCompute();
  try {
    return RunJob(
        env, "sotto compute",
        [=, graph = graph_] { graph->Compute(threads, *abort, [&](float fraction) { progress->Report(fraction); }); },
        nullptr,
        [=, context = graph_->context()](bool) {
          progress->Close();
          context->EndCompute();
        });
  } catch (...) {
    progress->Close();
    graph_->context()->EndCompute();
    throw;
  }
}

void DefineTensors(Napi::Env env, Napi::Object exports) {
  exports.Set("TensorContext", ContextWrap::Define(env));
  exports.Set("tensorOperations", Napi::Function::New(env, Guarded<TensorOperations>, "tensorOperations"));
}

}  // namespace sotto
