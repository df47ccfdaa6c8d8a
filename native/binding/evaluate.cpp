#include "binding/evaluate.h"

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

// evaluate(model: NativeModel, other: NativeModel | undefined, text: string, options: NativeEvaluateOptions, onProgress: ((fraction: number) => void) | undefined, abort: NativeAbortFlag): Promise<NativeEvaluation>
Napi::Value EvaluateText(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::shared_ptr<ModelHandle::Guest> model = ModelWrap::HandleOf(info[0])->Visit(), other;
  if (!info[1].IsUndefined()) other = ModelWrap::HandleOf(info[1])->Visit();
  const auto text = std::make_shared<std::string>(ReadString(info[2], "text"));
  const Napi::Object given = ReadObject(info[3], "options");
  EvaluateOptions options;
  options.context_size = IntField(given, "contextSize", 8, kMostContext);
  options.chunks = IntField(given, "chunks", 0);
  options.threads = ReadThreads(ReadObject(given.Get("threads"), "threads"));
  std::optional<Napi::Function> on_progress;
  if (!info[4].IsUndefined()) on_progress = ReadFunction(info[4], "onProgress");
  const std::shared_ptr<std::atomic<bool>> abort = AbortFlag::FlagOf(info[5]);

  // Collected meanwhile, a model would be closed.
  const auto held = std::make_shared<std::vector<Napi::ObjectReference>>();
  for (const size_t i : {0, 1}) {
    if (info[i].IsObject()) held->push_back(Napi::Persistent(info[i].As<Napi::Object>()));
  }
  const std::shared_ptr<ProgressPipe> progress = ProgressPipe::Create(env, on_progress, abort);
  Environment::Of(env).reaper().AddLoad(abort);
  const auto found = std::make_shared<Evaluation>();
  const bool compared = other != nullptr;
  return RunJob(
      env, "sotto evaluate",
      // The guests leave with the work: a close() waits for them.
      [=, model = std::move(model), other = std::move(other)] {
        const auto closing = [&] { return model->closing() || (other && other->closing()); };
        try {
          *found = Evaluate(
              model->model(), other ? other->model() : nullptr, *text, options, [&] { return *abort || closing(); },
              [&](float fraction) { progress->Report(fraction); });
        } catch (const Error&) {
          if (!*abort && closing()) throw Error(ErrorCode::kModelClosed, "The model was closed while it was measured");
          throw;
        }
      },
      [=](napi_env raw) -> napi_value {
        try {
          return EvaluationObject(Napi::Env(raw), *found, compared);
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

}  // namespace

void DefineEvaluate(Napi::Env env, Napi::Object exports) {
  exports.Set("evaluate", Napi::Function::New(env, Guarded<EvaluateText>, "evaluate"));
}

}  // namespace sotto
