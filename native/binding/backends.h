// backends.h: where ggml's backends and our guests among them are introduced to each other.
#pragma once

#include <string>

namespace sotto {

// Finds ggml's backends and joins our CPU kernels to its CPU backend. Once a process, from any thread; throws as InitBackends.
void StartBackends();

// The instruction set of our CPU kernels: "avx512vnni" …, or "off" when ggml's own do the work. After StartBackends.
std::string CpuKernels();

}  // namespace sotto
