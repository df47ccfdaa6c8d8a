#include "binding/model-wrap.h"

#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "binding/abort-flag.h"
#include "binding/args.h"
#include "binding/backends.h"
#include "binding/context-state-wrap.h"
#include "binding/environment.h"
#include "binding/job.h"
#include "binding/progress.h"
#include "binding/request-args.h"
#include "binding/system.h"
#include "binding/wrap.h"
#include "engine/devices.h"
#include "engine/tokenizer.h"

namespace sotto {
namespace {

// What a load job hands to the constructor on the JS thread.
struct Loaded {
  std::shared_ptr<ModelHandle> handle;
};
constexpr float kModelShare = 0.9f;  // of the progress when a draft model is loaded too
constexpr napi_type_tag kLoadedTag = {0x736f74746f6c6f61, 0x6465640000000001};

Napi::Object InfoObject(Napi::Env env, const Model& model, const SchedulerInfo& scheduler) {
  const ModelInfo& m = model.info();
  Napi::Object info = Napi::Object::New(env);
  info.Set("architecture", m.architecture);
  info.Set("name", m.name);
  info.Set("description", m.description);
  info.Set("quantisation", m.quantisation);
  info.Set("parameters", double(m.parameters));
  info.Set("bytes", double(m.bytes));
  info.Set("contextTrain", m.context_train);
  info.Set("embeddingLength", m.embedding_length);
  info.Set("layers", m.layers);
  info.Set("heads", m.heads);
  info.Set("headsKv", m.heads_kv);
  info.Set("vocabulary", m.vocabulary);
  info.Set("vocabularyType", m.vocabulary_type);
  info.Set("bos", m.bos);
  info.Set("eos", m.eos);
  info.Set("eot", m.eot);
  info.Set("recurrent", m.recurrent);
  info.Set("hybrid", m.hybrid);
  info.Set("hasEncoder", m.has_encoder);
  info.Set("hasDecoder", m.has_decoder);
  info.Set("chatTemplate", m.chat_template);
  info.Set("supportsTools", model.chat_format().supports_tools());
  info.Set("supportsThinking", model.chat_format().supports_thinking());
  Napi::Object metadata = Napi::Object::New(env);
  for (const auto& [key, value] : m.metadata) {
    // Keys come from a file: defined, not assigned, so that __proto__ is a key like any other.
    metadata.DefineProperty(
        Napi::PropertyDescriptor::Value(key, Napi::String::New(env, value), napi_default_jsproperty));
  }
  info.Set("metadata", metadata);
  Napi::Object kernels = Napi::Object::New(env);
  kernels.Set("name", m.kernels.name);
  kernels.Set("weights", m.kernels.weights);
  kernels.Set("problem", m.kernels.problem);
  Napi::Array tensors = Napi::Array::New(env, m.kernels.tensors.size());
  for (size_t i = 0; i < m.kernels.tensors.size(); ++i) tensors.Set(uint32_t(i), m.kernels.tensors[i]);
  kernels.Set("tensors", tensors);
  info.Set("kernels", kernels);
  info.Set("contextSize", scheduler.context_size);
  info.Set("batchSize", scheduler.batch_size);
  info.Set("sequences", scheduler.sequences);
  info.Set("kvBytes", double(scheduler.kv_bytes));
  info.Set("canShift", scheduler.can_shift);
  info.Set("canSpeculate", scheduler.can_speculate);
  return info;
}

napi_value Int32ArrayOf(napi_env env, const std::vector<int32_t>& values) {
  void* data = nullptr;
  napi_value buffer = nullptr, array = nullptr;
  if (napi_create_arraybuffer(env, values.size() * sizeof(int32_t), &data, &buffer) != napi_ok) return nullptr;
  if (!values.empty()) std::memcpy(data, values.data(), values.size() * sizeof(int32_t));
  napi_create_typedarray(env, napi_int32_array, values.size(), buffer, 0, &array);
  return array;
}

}  // namespace

Napi::Function ModelWrap::Define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {
                         StaticMethod<&Guarded<&ModelWrap::Load>>("load", napi_default_method),
                         Method<ModelWrap, &ModelWrap::Info>("info"),
                         Method<ModelWrap, &ModelWrap::Submit>("submit"),
                         Method<ModelWrap, &ModelWrap::Embed>("embed"),
                         Method<ModelWrap, &ModelWrap::Pin>("pin"),
                         Method<ModelWrap, &ModelWrap::Unpin>("unpin"),
                         Method<ModelWrap, &ModelWrap::ExpectContext>("expectContext"),
                         Method<ModelWrap, &ModelWrap::DropContext>("dropContext"),
                         Method<ModelWrap, &ModelWrap::SaveContext>("saveContext"),
                         Method<ModelWrap, &ModelWrap::RestoreContext>("restoreContext"),
                         Method<ModelWrap, &ModelWrap::Cancel>("cancel"),
                         Method<ModelWrap, &ModelWrap::Pause>("pause"),
                         Method<ModelWrap, &ModelWrap::Tokenize>("tokenize"),
                         Method<ModelWrap, &ModelWrap::Detokenize>("detokenize"),
                         Method<ModelWrap, &ModelWrap::ApplyTemplate>("applyTemplate"),
                         Method<ModelWrap, &ModelWrap::SetThreads>("setThreads"),
                         Method<ModelWrap, &ModelWrap::Measure>("measure"),
                         Method<ModelWrap, &ModelWrap::Close>("close"),
                     });
}

ModelWrap::ModelWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (!info[0].IsExternal() || !info[0].As<Napi::External<Loaded>>().CheckTypeTag(&kLoadedTag)) {
    throw Napi::TypeError::New(info.Env(), "Model has no public constructor: use Model.load");
  }
  info.This().As<Napi::Object>().TypeTag(&kTag);
  handle_ = info[0].As<Napi::External<Loaded>>().Data()->handle;
  const ModelHandle::Parts parts = handle_->parts();
  info_ = Napi::Persistent(InfoObject(info.Env(), *parts.model, parts.scheduler->info()));
}

const std::shared_ptr<ModelHandle>& ModelWrap::HandleOf(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) {
    throw Error(ErrorCode::kOptionInvalid, "Expected a Model");
  }
  return Unwrap(value.As<Napi::Object>())->handle_;
}

// Garbage collected without close(): the same close, off the JS thread.
ModelWrap::~ModelWrap() {
  if (!handle_) return;
  if (handle_->closed()) return;
  handle_->pipe().Close();
  RunDetached(Env(), "sotto close", [handle = std::move(handle_)]() mutable {
    handle->Close();
    handle.reset();
  });
}

// load(options: NativeModelOptions, onEvents: (events: NativeEvents) => void, onProgress: ((fraction: number) => void) | undefined, abort: NativeAbortFlag): Promise<NativeModel>
Napi::Value ModelWrap::Load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object options = ReadObject(info[0], "options");
  const ModelOptions model_options = ReadModelOptions(options);
  const std::optional<ModelOptions> draft_options = ReadDraftOptions(options);
  const SchedulerOptions scheduler_options = ReadSchedulerOptions(options);
  const Napi::Function on_events = ReadFunction(info[1], "onEvents");
  const std::shared_ptr<std::atomic<bool>> abort = AbortFlag::FlagOf(info[3]);
  std::optional<Napi::Function> on_progress;
  if (!info[2].IsUndefined()) on_progress = ReadFunction(info[2], "onProgress");
  const std::shared_ptr<ProgressPipe> progress = ProgressPipe::Create(env, on_progress, abort);

  // Requests end on the JS thread after the handle exists; until then the map is nobody's.
  auto handle_slot = std::make_shared<std::weak_ptr<ModelHandle>>();
  const std::shared_ptr<EventPipe> pipe = EventPipe::Create(env, on_events, [handle_slot](RequestId id) {
    if (const auto handle = handle_slot->lock()) handle->controls.erase(id);
  });
  Environment::Of(env).reaper().AddLoad(abort);

  auto loaded = std::make_shared<Loaded>();
  const auto work = [=] {
    StartBackends();
    const float share = draft_options ? kModelShare : 1;
    ModelPtr model = Model::Load(model_options, *abort, [&](float part) { progress->Report(share * part); });
    ModelPtr draft;
    if (draft_options) {
      draft = Model::Load(*draft_options, *abort, [&](float part) { progress->Report(share + (1 - share) * part); });
    }
    std::shared_ptr<Scheduler> scheduler = Scheduler::Create(
        model, scheduler_options, [pipe](std::vector<Event>&& events) { pipe->Push(std::move(events)); },
        std::move(draft));
    loaded->handle = std::make_shared<ModelHandle>(std::move(model), std::move(scheduler), pipe);
  };
  const auto result = [=](napi_env raw) -> napi_value {
    Environment& environment = Environment::Of(Napi::Env(raw));
    *handle_slot = loaded->handle;
    environment.reaper().Add(loaded->handle);
    if (*abort) {
      RunDetached(raw, "sotto close", [handle = std::move(loaded->handle)] { handle->Close(); });
      napi_throw(raw, MakeError(raw, ErrorCode::kAborted, "Loading was aborted"));
      return nullptr;
    }
    try {
      Napi::External<Loaded> external = Napi::External<Loaded>::New(raw, loaded.get());
      external.TypeTag(&kLoadedTag);
      const Napi::Object model = environment.model_class().New({external});
      loaded->handle.reset();  // from here on the wrapper is the owner
      return model;
    } catch (const Napi::Error& error) {
      error.ThrowAsJavaScriptException();
    } catch (const Error& error) {
      napi_throw(raw, MakeError(raw, error.code(), error.what()));
    }
    return nullptr;
  };
  const auto cleanup = [=](bool failed) {
    progress->Close();
    if (failed) pipe->Close();
  };
  return RunJob(env, "sotto load", work, result, cleanup);
}

// info(): NativeModelInfo
Napi::Value ModelWrap::Info(const Napi::CallbackInfo&) { return info_.Value(); }

// submit(request: NativeCompletion): void
Napi::Value ModelWrap::Submit(const Napi::CallbackInfo& info) {
  Start(info.Env(), ReadCompletion(ReadObject(info[0], "request")));
  return info.Env().Undefined();
}

// embed(request: NativeEmbedding): void
Napi::Value ModelWrap::Embed(const Napi::CallbackInfo& info) {
  Start(info.Env(), ReadEmbedding(ReadObject(info[0], "request")));
  return info.Env().Undefined();
}

// pin(request: NativePin): void
Napi::Value ModelWrap::Pin(const Napi::CallbackInfo& info) {
  Start(info.Env(), ReadPin(ReadObject(info[0], "request")));
  return info.Env().Undefined();
}

// unpin(id: number): void
Napi::Value ModelWrap::Unpin(const Napi::CallbackInfo& info) {
  handle_->Unpin(ReadUnsigned(info[0], "id"));
  return info.Env().Undefined();
}

// expectContext(context: number, expected: boolean): void
Napi::Value ModelWrap::ExpectContext(const Napi::CallbackInfo& info) {
  handle_->parts().scheduler->ExpectContext(ReadUnsigned(info[0], "context"), ReadBool(info[1], "expected"));
  return info.Env().Undefined();
}

// dropContext(context: number, wipe: boolean): void
Napi::Value ModelWrap::DropContext(const Napi::CallbackInfo& info) {
  handle_->parts().scheduler->DropContext(ReadUnsigned(info[0], "context"), ReadBool(info[1], "wipe"));
  return info.Env().Undefined();
}

// saveContext(context: number, evict: boolean, wipe: boolean): Promise<NativeContextState | undefined>
Napi::Value ModelWrap::SaveContext(const Napi::CallbackInfo& info) {
  ModelHandle::Parts parts = handle_->parts();
  const ContextId context = ReadUnsigned(info[0], "context");
  const bool evict = ReadBool(info[1], "evict"), wipe = ReadBool(info[2], "wipe");
  auto state = std::make_shared<ContextStatePtr>();
  return RunJob(
      info.Env(), "sotto save",
      [=, parts = std::move(parts)] { *state = parts.scheduler->SaveContext(context, evict, wipe); },
      [=](napi_env env) -> napi_value {
        return *state ? ContextStateWrap::New(env, std::move(*state)) : static_cast<napi_value>(nullptr);
      });
}

// restoreContext(context: number, principal: string, state: NativeContextState): void
Napi::Value ModelWrap::RestoreContext(const Napi::CallbackInfo& info) {
  handle_->parts().scheduler->RestoreContext(ReadUnsigned(info[0], "context"), ReadString(info[1], "principal"),
                                             ContextStateWrap::Take(info[2]));
  return info.Env().Undefined();
}

// Text work happens in a job; whatever goes wrong there leaves by the pipe like every other end of a request.
void ModelWrap::Start(Napi::Env env, RequestOptions&& options) {
  ModelHandle::Parts parts = handle_->parts();
  const RequestId id = options.id;
  if (handle_->pipe().InFlight(id))
    throw Error(ErrorCode::kInternal, "Request " + std::to_string(id) + " is in flight");
  auto control = std::make_shared<RequestControl>();
  handle_->controls.emplace(id, control);
  handle_->pipe().Begin(env, id);
  const auto submitted = Clock::now();
  auto shared = std::make_shared<RequestOptions>(std::move(options));
  RunDetached(env, "sotto prepare", [=, parts = std::move(parts), pipe = handle_->shared_pipe()] {
    std::vector<Event> events;
    try {
      parts.scheduler->Submit(PrepareRequest(*parts.model, std::move(*shared), control, submitted));
      return;
    } catch (...) {
      Failure failure = DescribeException(std::current_exception());
      events.push_back(Event::Failed(id, failure.code, std::move(failure.message)));
    }
    pipe->Push(std::move(events));
  });
}

// cancel(id: number): void
Napi::Value ModelWrap::Cancel(const Napi::CallbackInfo& info) {
  const auto control = handle_->controls.find(ReadUnsigned(info[0], "id"));
  if (control == handle_->controls.end()) return info.Env().Undefined();
  control->second->cancelled = true;
  handle_->Wake();
  return info.Env().Undefined();
}

// pause(id: number, paused: boolean): void
Napi::Value ModelWrap::Pause(const Napi::CallbackInfo& info) {
  const auto control = handle_->controls.find(ReadUnsigned(info[0], "id"));
  if (control == handle_->controls.end()) return info.Env().Undefined();
  control->second->paused = ReadBool(info[1], "paused");
  handle_->Wake();
  return info.Env().Undefined();
}

// tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Promise<Int32Array>
Napi::Value ModelWrap::Tokenize(const Napi::CallbackInfo& info) {
  ModelHandle::Parts parts = handle_->parts();
  auto tokens = std::make_shared<std::vector<int32_t>>();
  return RunJob(
      info.Env(), "sotto tokenize",
      [=, parts = std::move(parts), text = ReadString(info[0], "text"), special = ReadBool(info[1], "addSpecial"),
       parse = ReadBool(info[2], "parseSpecial")] {
        *tokens = sotto::Tokenize(parts.model->vocab(), text, special, parse);
      },
      [=](napi_env env) { return Int32ArrayOf(env, *tokens); });
}

// detokenize(tokens: Int32Array, special: boolean): string
Napi::Value ModelWrap::Detokenize(const Napi::CallbackInfo& info) {
  const ModelHandle::Parts parts = handle_->parts();
  return Napi::String::New(
      info.Env(), sotto::Detokenize(parts.model->vocab(), ReadInts(info[0], "tokens"), ReadBool(info[1], "special")));
}

// applyTemplate(input: NativeChatInput): Promise<string>
Napi::Value ModelWrap::ApplyTemplate(const Napi::CallbackInfo& info) {
  ModelHandle::Parts parts = handle_->parts();
  auto text = std::make_shared<std::string>();
  return RunJob(
      info.Env(), "sotto template",
      [=, parts = std::move(parts), input = ReadChatInput(ReadObject(info[0], "input"))] {
        *text = parts.model->chat_format().Apply(input).text;
      },
      [=](napi_env env) -> napi_value { return Napi::String::New(env, *text); });
}

// setThreads(threads: NativeThreadOptions): void
Napi::Value ModelWrap::SetThreads(const Napi::CallbackInfo& info) {
  handle_->parts().scheduler->SetThreads(ReadThreads(ReadObject(info[0], "threads")));
  return info.Env().Undefined();
}

// measure(threads: number, tokens: number): Promise<number>
Napi::Value ModelWrap::Measure(const Napi::CallbackInfo& info) {
  ModelHandle::Parts parts = handle_->parts();
  const int32_t threads = ReadInt(info[0], "threads", 1, GGML_MAX_N_THREADS);
  const int32_t tokens = ReadInt(info[1], "tokens", 1, 1024);
  auto milliseconds = std::make_shared<double>(-1);
  return RunJob(
      info.Env(), "sotto measure",
      [=, parts = std::move(parts)] { *milliseconds = parts.scheduler->Measure(threads, tokens); },
      [=](napi_env env) -> napi_value { return Napi::Number::New(env, *milliseconds); });
}

// close(): Promise<void>
Napi::Value ModelWrap::Close(const Napi::CallbackInfo& info) {
  if (!closing_.IsEmpty()) return closing_.Value();
  const Napi::Promise closing = RunJob(
      info.Env(), "sotto close", [handle = handle_] { handle->Close(); }, nullptr,
      [handle = handle_](bool) { handle->pipe().Close(); });
  closing_ = Napi::Reference<Napi::Promise>::New(closing, 1);
  return closing;
}

}  // namespace sotto
