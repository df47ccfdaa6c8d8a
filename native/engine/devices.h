// devices.h: ggml's backends, found once per process, and what they say of themselves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sotto {

struct DeviceInfo {
  std::string name;           // CPU, CUDA0, Vulkan0 …
  std::string description;    // the hardware's own name
  std::string type;           // cpu | gpu | igpu | accel
  uint64_t memory_total = 0;  // bytes; 0: unknown
  uint64_t memory_free = 0;
};

// Loads the backend modules beside the addon when they are modules (prebuilds), then llama_backend_init. Once per
// process, from any thread. `folder`: where the addon lies. Throws Error(kModelUnsupported) when no CPU backend fits
// this machine.
void InitBackends(const std::string& folder);

std::vector<DeviceInfo> ListDevices();
std::string CpuVariant();                // "native", or the tag of the chosen module, e.g. "haswell", "icelake", "zen4"
std::vector<std::string> CpuFeatures();  // ggml's names: AVX2, AVX512_VNNI, …

}  // namespace sotto
