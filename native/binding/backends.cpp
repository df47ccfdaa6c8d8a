#include "binding/backends.h"

#include <ggml-backend.h>

#include <mutex>

#include "backends/cpu-kernels/cpu-kernels.h"
#include "binding/system.h"
#include "engine/devices.h"
#include "engine/kernels.h"

#ifdef SOTTO_KERNELS_IN_MODULES
#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif
#endif

namespace sotto {
namespace {

#ifdef SOTTO_KERNELS_IN_MODULES
// The kernels call ggml's thread pool, which is inside the CPU module that was chosen: so are they, one copy in each. The module is
// the one that holds what its registry hands out.
template <typename Function>
Function* InCpuModule(const char* name) {
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  void* inside = ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_set_n_threads");
#ifdef _WIN32
  HMODULE module = nullptr;
  if (!GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                          static_cast<LPCSTR>(inside), &module)) {
    return nullptr;
  }
  return reinterpret_cast<Function*>(GetProcAddress(module, name));
#else
  Dl_info info;
  if (!dladdr(inside, &info)) return nullptr;
  void* module = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  if (!module) return nullptr;
  void* function = dlsym(module, name);
  dlclose(module);  // ggml holds it open
  return reinterpret_cast<Function*>(function);
#endif
}
#define CPU_KERNELS_FUNCTION(name) InCpuModule<decltype(name)>(#name)
#else
#define CPU_KERNELS_FUNCTION(name) (&(name))
#endif

}  // namespace

void StartBackends() {
  InitBackends(AddonFolder());
  static std::once_flag once;
  std::call_once(once, [] {
    if (auto* join = CPU_KERNELS_FUNCTION(ggml_backend_cpu_kernels_register)) join();
    KernelFunctions functions;
    functions.name = CPU_KERNELS_FUNCTION(ggml_backend_cpu_kernels_name);
    functions.use = CPU_KERNELS_FUNCTION(ggml_backend_cpu_kernels_use);
    functions.crew = CPU_KERNELS_FUNCTION(ggml_backend_cpu_kernels_crew);
    functions.foreign = CPU_KERNELS_FUNCTION(ggml_backend_cpu_kernels_foreign);
    functions.loaded = CPU_KERNELS_FUNCTION(ggml_backend_cpu_kernels_loaded);
    SetKernelFunctions(functions);
  });
}

}  // namespace sotto
