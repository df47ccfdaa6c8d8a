// kernels.h: the door to the kernels of one instruction set. Each kernels-*.cpp is compiled with flags of its own, so it includes
// nothing whose inline functions another file could end up with.
#pragma once

#include "layout.h"

// Writes one column of a tile: k floats to int8, scale and sums. `column` of `n`.
typedef void (*sotto_quantize_t)(const float * x, int64_t k, int kind, void * tile, int64_t n, int64_t column);

// dst[c * dst_stride + r] for the 16 rows of a panel and the n columns of a tile; `rows` < 16 in the last panel of a matrix.
typedef void (*sotto_tile_t)(const uint8_t * panel, int64_t k, const sotto_acts * acts, float * dst, int64_t dst_stride, int rows);

struct sotto_kernels {
    const char *     name;
    sotto_quantize_t quantize;
    sotto_tile_t     tile[SOTTO_N_KINDS][SOTTO_MAX_COLS + 1];  // [kind][columns], columns from 1
};

extern const sotto_kernels sotto_kernels_generic;
#if defined(__x86_64__) || defined(_M_X64)
extern const sotto_kernels sotto_kernels_avx2;
extern const sotto_kernels sotto_kernels_avxvnni;
extern const sotto_kernels sotto_kernels_avx512vnni;
#endif

extern const uint8_t sotto_iq4_nl_table[16];  // the values of IQ4_NL, plus 128
