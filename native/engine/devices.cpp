#include "engine/devices.h"

#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "base/abort-shield.h"
#include "base/error.h"
#include "base/log.h"

#if defined(__linux__)
#include <link.h>
#endif

namespace sotto {
namespace {

const char* TypeName(enum ggml_backend_dev_type type) {
  switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
    default: return "accel";
  }
}

ggml_backend_reg_t CpuRegistry() {
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  return device ? ggml_backend_dev_backend_reg(device) : nullptr;
}

}  // namespace

void InitBackends(const std::string& folder) {
  static std::mutex mutex;
  static bool done = false;
  std::lock_guard lock(mutex);
  if (done) return;
  llama_log_set([](ggml_log_level level, const char* text, void*) { UpstreamLog(int(level), text); },
                nullptr);  // ggml's too
  ggml_set_abort_callback(AbortShield::OnAbort);
  if (!CpuRegistry()) ggml_backend_load_all_from_path(folder.c_str());
  if (!CpuRegistry()) {
    throw Error(
        ErrorCode::kModelUnsupported,
        "No CPU backend in " + folder + " runs on this processor: build sotto from source with SOTTO_NATIVE=ON");
  }
  llama_backend_init();
  done = true;
}

std::vector<DeviceInfo> ListDevices() {
  std::vector<DeviceInfo> devices;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    size_t available = 0, total = 0;
    ggml_backend_dev_memory(device, &available, &total);
    devices.push_back({ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                       TypeName(ggml_backend_dev_type(device)), total, available});
  }
  return devices;
}

std::string CpuVariant() {
#if defined(GGML_BACKEND_DL) && defined(__linux__)
  // The registry does not say which module it chose; the dynamic linker does: libggml-cpu-<variant>.so.
  std::string variant = "generic";
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        const std::string path = info->dlpi_name;
        const std::string mark = "libggml-cpu-";
        const size_t at = path.rfind(mark);
        if (at == std::string::npos) return 0;
        const size_t begin = at + mark.size();
        *static_cast<std::string*>(data) = path.substr(begin, path.find('.', begin) - begin);
        return 1;
      },
      &variant);
  return variant;
#elif defined(GGML_BACKEND_DL)
  return "module";
#else
  return "native";
#endif
}

std::vector<std::string> CpuFeatures() {
  std::vector<std::string> features;
  ggml_backend_reg_t registry = CpuRegistry();
  if (!registry) return features;
  const auto get = reinterpret_cast<ggml_backend_get_features_t>(
      ggml_backend_reg_get_proc_address(registry, "ggml_backend_get_features"));
  if (!get) return features;
  for (const ggml_backend_feature* feature = get(registry); feature->name; ++feature) {
    if (std::string(feature->value) != "0") features.push_back(feature->name);
  }
  return features;
}

}  // namespace sotto
