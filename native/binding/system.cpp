#include "binding/system.h"

#include <ggml.h>
#include <llama.h>

#include "base/cpu-topology.h"
#include "base/log.h"
#include "binding/args.h"
#include "binding/backends.h"
#include "binding/wrap.h"
#include "engine/devices.h"
#include "engine/kernels.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace sotto {
namespace {

Napi::Array Strings(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array array = Napi::Array::New(env, strings.size());
  for (uint32_t i = 0; i < strings.size(); ++i) array.Set(i, strings[i]);
  return array;
}

std::vector<std::string> BuildOptions() {
  std::vector<std::string> options;
#if defined(GGML_BACKEND_DL)
  options.push_back("SOTTO_PREBUILD");
#endif
#if defined(SOTTO_BLAS)
  options.push_back(std::string("SOTTO_BLAS=") + SOTTO_BLAS);
#endif
#if defined(GGML_USE_CUDA)
  options.push_back("SOTTO_CUDA");
#endif
#if defined(GGML_USE_VULKAN)
  options.push_back("SOTTO_VULKAN");
#endif
#if defined(GGML_USE_METAL)
  options.push_back("SOTTO_METAL");
#endif
  return options;
}

// systemInfo(): NativeSystemInfo
Napi::Value SystemInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  StartBackends();
  const CpuTopology& topology = GetCpuTopology();
  Napi::Object cpu = Napi::Object::New(env);
  cpu.Set("model", topology.model);
  cpu.Set("logical", topology.logical);
  cpu.Set("physical", topology.physical);
  cpu.Set("performance", topology.performance);
  cpu.Set("quota", topology.quota);
  cpu.Set("features", Strings(env, CpuFeatures()));
  cpu.Set("variant", CpuVariant());
  cpu.Set("kernels", KernelName());

  const std::vector<DeviceInfo> found = ListDevices();
  Napi::Array devices = Napi::Array::New(env, found.size());
  for (uint32_t i = 0; i < found.size(); ++i) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", found[i].name);
    device.Set("description", found[i].description);
    device.Set("type", found[i].type);
    device.Set("memoryTotal", double(found[i].memory_total));
    device.Set("memoryFree", double(found[i].memory_free));
    devices.Set(i, device);
  }
  Napi::Object versions = Napi::Object::New(env);
  versions.Set("llama", llama_version());
  versions.Set("ggml", ggml_version());
  versions.Set("napi", NAPI_VERSION);

  Napi::Object result = Napi::Object::New(env);
  result.Set("cpu", cpu);
  result.Set("devices", devices);
  result.Set("versions", versions);
  result.Set("buildOptions", Strings(env, BuildOptions()));
  return result;
}

// tensorTypes(): NativeTensorType[]
Napi::Value TensorTypes(const Napi::CallbackInfo& info) {
  Napi::Array types = Napi::Array::New(info.Env());
  for (int id = 0; id < GGML_TYPE_COUNT; ++id) {
    const ggml_type type = static_cast<ggml_type>(id);
    if (ggml_blck_size(type) == 0) continue;  // A number that ggml no longer uses.
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("name", ggml_type_name(type));
    entry.Set("id", id);
    entry.Set("blockSize", double(ggml_blck_size(type)));
    entry.Set("blockBytes", double(ggml_type_size(type)));
    types.Set(types.Length(), entry);
  }
  return types;
}

// setLogLevel(level: number): void
Napi::Value SetLevel(const Napi::CallbackInfo& info) {
  const int32_t level = ReadInt(info[0], "level");
  if (level < 0 || level > 4) throw Error(ErrorCode::kOptionInvalid, "Expected level to be from 0 to 4");
  SetLogLevel(static_cast<LogLevel>(level));
  return info.Env().Undefined();
}

}  // namespace

void DefineSystem(Napi::Env env, Napi::Object exports) {
  exports.Set("systemInfo", Napi::Function::New(env, Guarded<SystemInfo>, "systemInfo"));
  exports.Set("tensorTypes", Napi::Function::New(env, Guarded<TensorTypes>, "tensorTypes"));
  exports.Set("setLogLevel", Napi::Function::New(env, Guarded<SetLevel>, "setLogLevel"));
}

// Node closes the library when the last worker that loaded it has ended; what it keeps for the process (ggml's registry, the log
// callback, thread-local destructors) must not lose its code then.
void PinAddon() {
#if defined(_WIN32)
  HMODULE module = nullptr;
  GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                     reinterpret_cast<LPCSTR>(&PinAddon), &module);
#else
  Dl_info found = {};
  if (dladdr(reinterpret_cast<void*>(&PinAddon), &found) == 0 || !found.dli_fname) return;
  dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
#endif
}

std::string AddonFolder() {
#if defined(_WIN32)
  HMODULE module = nullptr;
  char path[MAX_PATH] = {};
  GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                     reinterpret_cast<LPCSTR>(&AddonFolder), &module);
  GetModuleFileNameA(module, path, MAX_PATH);
  const std::string file = path;
  return file.substr(0, file.find_last_of("\\/"));
#else
  Dl_info found = {};
  if (dladdr(reinterpret_cast<void*>(&AddonFolder), &found) == 0 || !found.dli_fname) return ".";
  const std::string file = found.dli_fname;
  return file.substr(0, file.find_last_of('/'));
#endif
}

}  // namespace sotto
