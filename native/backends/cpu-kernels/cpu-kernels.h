// cpu-kernels.h: matrix multiplication with packed weights, joined to ggml's CPU backend as an extra buffer type: weights that llama.cpp
// puts there are packed as they arrive, and ggml asks us first when it multiplies with them, in its own thread pool or with a crew.
#pragma once

#include "ggml-backend.h"

// In a prebuild the kernels are inside each CPU module, and the addon looks these functions up there.
#if !defined(SOTTO_KERNELS_IN_MODULES)
#define SOTTO_KERNELS_API
#elif defined(_WIN32)
#define SOTTO_KERNELS_API __declspec(dllexport)
#else
#define SOTTO_KERNELS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Puts our buffer type before ggml's own. Once a process, before the first model; does nothing where the CPU has no
// instruction set of ours, or is an ARM CPU, unless SOTTO_CPU (generic, avx2, avxvnni, avx512vnni, avx512amx, neondot, neoni8mm, or off)
// forces one.
SOTTO_KERNELS_API void ggml_backend_cpu_kernels_register(void);

ggml_backend_buffer_type_t ggml_backend_cpu_kernels_buffer_type(void);

// The instruction set in use, or "off".
SOTTO_KERNELS_API const char * ggml_backend_cpu_kernels_name(void);

// How this thread loads a model, and computes with it, until it says otherwise. upstream: with ggml's own kernels. packed_path: the side
// file of the model's packed weights, or null: they stay in memory. bring: its pages, before somebody asks for them. packed, unless null, is
// called for each packed weight with its name, and with null and a sentence when the side file cannot be used.
SOTTO_KERNELS_API void ggml_backend_cpu_kernels_use(bool upstream, const char * packed_path, bool bring,
                                                    void (*packed)(void * data, const char * tensor, const char * problem), void * data);

// Threads that this thread may share operations with while ggml computes with it alone: run(crew, n, work, data) calls work(data, i, member)
// for each i below n, each on one of `members` threads, and returns when all are done. A null run: none.
SOTTO_KERNELS_API void ggml_backend_cpu_kernels_crew(void (*run)(void * crew, int64_t n, void (*work)(void * data, int64_t i, int member),
                                                                 void * data), void * crew, int members);

// Whether this thread, since it was last asked, planned operations which ggml's own threads should share: large ones that are not ours.
SOTTO_KERNELS_API bool ggml_backend_cpu_kernels_foreign(void);

// The load is over, and well: a side file that was written meanwhile gets its name. Where the weights are: "memory" or "file".
SOTTO_KERNELS_API const char * ggml_backend_cpu_kernels_loaded(void);

#ifdef __cplusplus
}
#endif
