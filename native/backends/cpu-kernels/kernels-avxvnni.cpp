// kernels-avxvnni.cpp: VPDPBUSD on 256 bits. Compiled for AVX2, FMA, F16C and AVX-VNNI.

#include "kernels.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

namespace {

template <int KIND> struct Dot {
    __m256i wide;
    inline void begin(int32_t start) { wide = _mm256_set1_epi32(start); }
    template <int V> inline void add(__m256i w, __m256i a) { wide = _mm256_dpbusd_avx_epi32(wide, w, a); }
    inline __m256i end() const { return wide; }
};

}  // namespace

#include "kernels-256.inc"

const sotto_kernels sotto_kernels_avxvnni = { "avxvnni", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION };
