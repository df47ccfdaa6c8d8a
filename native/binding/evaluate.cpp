#include "binding/evaluate.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "binding/abort-flag.h"
#include "binding/args.h"
#include "binding/environment.h"
#include "binding/job.h"
#include "binding/model-wrap.h"
#include "binding/progress.h"
#include "binding/request-args.h"
#include "binding/wrap.h"
#include "engine/evaluator.h"
#include "engine/importance.h"

namespace sotto {
namespace {

constexpr int32_t kMostContext = 1 << 20;

Napi::Object EstimateObject(Napi::Env env, const Estimate& estimate) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("value", estimate.value);
  object.Set("error", estimate.error);
  return object;
}

Napi::Object EvaluationObject(Napi::Env env, const Evaluation& found, bool compared) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", double(found.tokens));
  object.Set("scored", double(found.scored));
  object.Set("chunks", found.chunks);
  object.Set("perplexity", EstimateObject(env, found.perplexity));
  if (!compared) return object;
  Napi::Object comparison = Napi::Object::New(env);
  comparison.Set("perplexity", EstimateObject(env, found.other_perplexity));
  comparison.Set("ratio", EstimateObject(env, found.ratio));
  comparison.Set("divergence", EstimateObject(env, found.divergence));
  comparison.Set("divergence99", found.divergence_p99);
  comparison.Set("divergenceMost", found.divergence_max);
  comparison.Set("agreement", EstimateObject(env, found.agreement));
  object.Set("comparison", comparison);
  return object;
}

Napi::Float32Array FloatArray(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Object ImportanceObject(Napi::Env env, const TextImportance& found) {
  Napi::Object object = Napi::Object::New(env), tensors = Napi::Object::New(env);
  for (const auto& [name, sums] : found.tensors) {
    Napi::Object tensor = Napi::Object::New(env);
    tensor.Set("squares", FloatArray(env, sums.squares));
    tensor.Set("counts", FloatArray(env, sums.counts));
    tensors.Set(name, tensor);
  }
  object.Set("tensors", tensors);
  object.Set("chunks", found.chunks);
  return object;
}

TextOptions ReadTextOptions(const Napi::Value& value) {
  const Napi::Object given = ReadObject(value, "options");
  TextOptions options;
  options.context_size = IntField(given, "contextSize", 8, kMostContext);
  options.chunks = IntField(given, "chunks", 0);
  options.threads = ReadThreads(ReadObject(given.Get("threads"), "threads"));
  return options;
}

using Guests = std::vector<std::shared_ptr<ModelHandle::Guest>>;
using Stop = std::function<bool()>;
using Report = std::function<void(float)>;

// Measures on libuv's pool. Arguments: as many models as there are guests, and at the end onProgress and abort.
template <typename Found>
Napi::Value Measure(const Napi::CallbackInfo& info, const char* name, Guests guests,
                    std::function<Found(const Guests&, const Stop&, const Report&)> work,
                    std::function<Napi::Object(Napi::Env, const Found&)> object_of) {
  const Napi::Env env = info.Env();
  const size_t last = info.Length() - 1;
  std::optional<Napi::Function> on_progress;
  if (!info[last - 1].IsUndefined()) on_progress = ReadFunction(info[last - 1], "onProgress");
  const std::shared_ptr<std::atomic<bool>> abort = AbortFlag::FlagOf(info[last]);

  // Collected meanwhile, a model would be closed.
  const auto held = std::make_shared<std::vector<Napi::ObjectReference>>();
  for (size_t i = 0; i < guests.size(); ++i) held->push_back(Napi::Persistent(info[i].As<Napi::Object>()));
  const std::shared_ptr<ProgressPipe> progress = ProgressPipe::Create(env, on_progress, abort);
  Environment::Of(env).reaper().AddLoad(abort);
  const auto found = std::make_shared<Found>();
  return RunJob(
      env, name,
      // The guests leave with the work: a close() waits for them.
      [=, guests = std::move(guests)] {
        const auto closing = [&] {
          return std::any_of(guests.begin(), guests.end(), [](const auto& guest) { return guest->closing(); });
        };
        try {
          *found = work(
              guests, [&] { return *abort || closing(); }, [&](float fraction) { progress->Report(fraction); });
        } catch (const Error&) {
          if (!*abort && closing()) throw Error(ErrorCode::kModelClosed, "The model was closed while it was measured");
          throw;
        }
      },
      [=](napi_env raw) -> napi_value {
        try {
          return object_of(Napi::Env(raw), *found);
        } catch (const Napi::Error& error) {
          error.ThrowAsJavaScriptException();
          return nullptr;
        }
      },
      [=](bool) {
        progress->Close();
        held->clear();
      });
}

// evaluate(model: NativeModel, other: NativeModel | undefined, text: string, options: NativeTextOptions, onProgress: ((fraction: number) => void) | undefined, abort: NativeAbortFlag): Promise<NativeEvaluation>
Napi::Value EvaluateText(const Napi::CallbackInfo& info) {
  Guests guests = {ModelWrap::HandleOf(info[0])->Visit()};
  const bool compared = !info[1].IsUndefined();
  if (compared) guests.push_back(ModelWrap::HandleOf(info[1])->Visit());
  const auto text = std::make_shared<std::string>(ReadString(info[2], "text"));
  const TextOptions options = ReadTextOptions(info[3]);
  return Measure<Evaluation>(
      info, "sotto evaluate", std::move(guests),
      [=](const Guests& models, const Stop& stop, const Report& report) {
        return Evaluate(models[0]->model(), compared ? models[1]->model() : nullptr, *text, options, stop, report);
      },
      [=](Napi::Env env, const Evaluation& found) { return EvaluationObject(env, found, compared); });
}

// importance(model: NativeModel, text: string, options: NativeTextOptions, onProgress: ((fraction: number) => void) | undefined, abort: NativeAbortFlag): Promise<NativeImportance>
Napi::Value ImportanceOfText(const Napi::CallbackInfo& info) {
  Guests guests = {ModelWrap::HandleOf(info[0])->Visit()};
  const auto text = std::make_shared<std::string>(ReadString(info[1], "text"));
  const TextOptions options = ReadTextOptions(info[2]);
  return Measure<TextImportance>(
      info, "sotto importance", std::move(guests),
      [=](const Guests& models, const Stop& stop, const Report& report) {
        return MeasureImportance(models[0]->model(), *text, options, stop, report);
      },
      ImportanceObject);
}

}  // namespace

void DefineEvaluate(Napi::Env env, Napi::Object exports) {
  exports.Set("evaluate", Napi::Function::New(env, Guarded<EvaluateText>, "evaluate"));
  exports.Set("importance", Napi::Function::New(env, Guarded<ImportanceOfText>, "importance"));
}

}  // namespace sotto
