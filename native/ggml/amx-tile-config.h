// amx-tile-config.h: included before every file of ggml's CPU backend (native/CMakeLists.txt, bench/run.mjs).
//
// GCC's _tile_loadconfig (12.2, amxtileintrin.h) says that it reads 8 bytes of a configuration that has 64. The optimiser then
// drops ggml's stores to the others, the tiles stay without a shape, and the first one used is an illegal instruction.
// The same problem upstream: llama.cpp pull request 26954.
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
