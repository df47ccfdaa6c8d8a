// kernels.h: the door to the kernels of one instruction set. Each kernels-*.cpp is compiled with flags of its own, so it includes
// nothing whose inline functions another file could end up with.
#pragma once

#include "layout.h"

// Writes one column of a tile: k floats to int8, scale and sums. `column` of `n`.
typedef void (*sotto_quantize_t)(const float * x, int64_t k, int kind, void * tile, int64_t n, int64_t column);

// dst[c * dst_stride + r] for the 16 rows of a panel and the n columns of a tile; `rows` < 16 in the last panel of a matrix.
typedef void (*sotto_tile_t)(const uint8_t * panel, int64_t k, const sotto_acts * acts, float * dst, int64_t dst_stride, int rows);

enum { SOTTO_MAX_QUERIES = 4 };

// Queries of one row that share a KV head. Keys and values are f16.
struct sotto_attention {
    const float *    q[SOTTO_MAX_QUERIES];
    float *          dst[SOTTO_MAX_QUERIES];
    float            slope[SOTTO_MAX_QUERIES];  // of the mask: ALiBi
    float *          scores;                    // [cells, rounded up to 16][SOTTO_MAX_QUERIES]
    const uint8_t *  k;
    const uint8_t *  v;
    int64_t          k_stride;                  // bytes from cell to cell
    int64_t          v_stride;
    const uint16_t * mask;                      // f16, one a cell, or null
    int64_t          n_cells;
    int64_t          d_k;
    float            scale;
};

// Scores of the cells begin .. end - 1, begin a multiple of 16, and the largest of them for each query.
typedef void (*sotto_scores_t)(const sotto_attention * a, int64_t begin, int64_t end, float most[SOTTO_MAX_QUERIES]);

// dst[d .. d + width * lanes - 1] of each query: the values weighted by exp(score - most), over sum plus the sum of the weights.
typedef void (*sotto_values_t)(const sotto_attention * a, int64_t d, const float most[SOTTO_MAX_QUERIES],
                               const float sum[SOTTO_MAX_QUERIES]);

struct sotto_kernels {
    const char *     name;
    sotto_quantize_t quantize;
    sotto_tile_t     tile[SOTTO_N_KINDS][SOTTO_MAX_COLS + 1];  // [kind][columns], columns from 1
    int              lanes;                                    // head sizes are multiples of it
    sotto_scores_t   scores[SOTTO_MAX_QUERIES];                // [queries - 1]
    sotto_values_t   values[SOTTO_MAX_QUERIES][4];             // [queries - 1][width - 1]
};

extern const sotto_kernels sotto_kernels_generic;
#if defined(__x86_64__) || defined(_M_X64)
extern const sotto_kernels sotto_kernels_avx2;
extern const sotto_kernels sotto_kernels_avxvnni;
extern const sotto_kernels sotto_kernels_avx512vnni;
#endif

extern const uint8_t sotto_iq4_nl_table[16];  // the values of IQ4_NL, plus 128
