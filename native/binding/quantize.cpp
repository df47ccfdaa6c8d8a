#include "binding/quantize.h"

#include <llama.h>

#include <atomic>
#include <memory>
#include <optional>

#include "binding/args.h"
#include "binding/backends.h"
#include "binding/job.h"
#include "binding/progress.h"
#include "binding/wrap.h"
#include "engine/quantizer.h"

namespace sotto {
namespace {

std::vector<Importance> ReadImportance(const Napi::Value& value) {
  std::vector<Importance> all;
  const Napi::Object list = ReadObject(value, "importance");
  const Napi::Array names = list.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const Napi::Value name = names.Get(i), values = list.Get(name);
    if (!values.IsTypedArray() || values.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
      throw Error(ErrorCode::kOptionInvalid, "Expected importance to hold Float32Arrays");
    const auto array = values.As<Napi::Float32Array>();
    all.push_back({ReadString(name, "importance"), {array.Data(), array.Data() + array.ElementLength()}});
  }
  return all;
}

QuantizeOptions ReadQuantizeOptions(const Napi::Object& o) {
  QuantizeOptions options;
  options.input = StringField(o, "input");
  options.output = StringField(o, "output");
  options.file_type = IntField(o, "fileType", 0, 1023);
  options.output_tensor_type = IntField(o, "outputTensorType", -1, GGML_TYPE_COUNT - 1);
  options.token_embedding_type = IntField(o, "tokenEmbeddingType", -1, GGML_TYPE_COUNT - 1);
  options.threads = IntField(o, "threads", 1, GGML_MAX_N_THREADS);
  options.allow_requantize = BoolField(o, "allowRequantize");
  options.leave_output_tensor = BoolField(o, "leaveOutputTensor");
  options.pure = BoolField(o, "pure");
  options.keep_split = BoolField(o, "keepSplit");
  options.elements = ReadNumber(o.Get("elements"), "elements");
  options.importance = ReadImportance(o.Get("importance"));
  const Napi::Object metadata = ReadObject(o.Get("metadata"), "metadata");
  const Napi::Array keys = metadata.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const Napi::Value key = keys.Get(i), value = metadata.Get(key);
    if (value.IsNumber()) {
      options.counts.emplace_back(ReadString(key, "metadata"), int64_t(ReadUnsigned(value, "metadata")));
    } else {
      options.texts.emplace_back(ReadString(key, "metadata"), ReadString(value, "metadata"));
    }
  }
  return options;
}

// quantize(options: NativeQuantizeOptions, onProgress: (fraction: number) => void): Promise<void>
Napi::Value QuantizeModel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto options = std::make_shared<QuantizeOptions>(ReadQuantizeOptions(ReadObject(info[0], "options")));
  const std::optional<Napi::Function> on_progress = ReadFunction(info[1], "onProgress");
  const auto never = std::make_shared<std::atomic<bool>>(false);  // upstream cannot be stopped
  const std::shared_ptr<ProgressPipe> progress = ProgressPipe::Create(env, on_progress, never);
  return RunJob(
      env, "sotto quantize",
      [=] {
        StartBackends();
        Quantize(*options, [&](float fraction) { progress->Report(fraction); });
      },
      nullptr, [=](bool) { progress->Close(); });
}

}  // namespace

void DefineQuantize(Napi::Env env, Napi::Object exports) {
  exports.Set("quantize", Napi::Function::New(env, Guarded<QuantizeModel>, "quantize"));
}

}  // namespace sotto
