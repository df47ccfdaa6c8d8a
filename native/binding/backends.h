// backends.h: where ggml's backends and our guests among them are introduced to each other.
#pragma once

namespace sotto {

// Finds ggml's backends and joins our CPU kernels to its CPU backend. Once a process, from any thread; throws as InitBackends.
void StartBackends();

}  // namespace sotto
