#include "binding/integrity.h"

#include "binding/abort-flag.h"
#include "binding/args.h"
#include "binding/environment.h"
#include "binding/job.h"
#include "binding/progress.h"
#include "binding/wrap.h"
#include "engine/integrity.h"

namespace sotto {
namespace {

napi_value DigestObject(napi_env env, const FileDigest& digest) {
  napi_value object = nullptr, sha256 = nullptr, bytes = nullptr;
  if (napi_create_object(env, &object) != napi_ok) return nullptr;
  napi_create_string_utf8(env, digest.sha256.data(), digest.sha256.size(), &sha256);
  napi_create_double(env, double(digest.bytes), &bytes);
  napi_set_named_property(env, object, "sha256", sha256);
  napi_set_named_property(env, object, "bytes", bytes);
  return object;
}

// hashFile(path: string, onProgress: ((fraction: number) => void) | undefined, abort: NativeAbortFlag): Promise<NativeFileDigest>
Napi::Value HashFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = ReadString(info[0], "path");
  const std::shared_ptr<std::atomic<bool>> abort = AbortFlag::FlagOf(info[2]);
  std::optional<Napi::Function> on_progress;
  if (!info[1].IsUndefined()) on_progress = ReadFunction(info[1], "onProgress");

  const std::shared_ptr<ProgressPipe> progress = ProgressPipe::Create(env, on_progress, abort);
  Environment::Of(env).reaper().AddLoad(abort);
  auto digest = std::make_shared<FileDigest>();
  return RunJob(
      env, "sotto hash",
      [=] { *digest = DigestFile(path, *abort, [&](float fraction) { progress->Report(fraction); }); },
      [=](napi_env raw) { return DigestObject(raw, *digest); }, [=](bool) { progress->Close(); });
}

}  // namespace

void DefineIntegrity(Napi::Env env, Napi::Object exports) {
  exports.Set("hashFile", Napi::Function::New(env, Guarded<HashFile>, "hashFile"));
}

}  // namespace sotto
