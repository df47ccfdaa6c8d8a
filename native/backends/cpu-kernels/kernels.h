// kernels.h: the door to the kernels of one instruction set. Each kernels-*.cpp is compiled with flags of its own, so it includes
// nothing whose inline functions another file could end up with.
#pragma once

#include "layout.h"

// For functions on arrays of registers, which are registers only where the caller's loops are seen with them.
#if defined(__GNUC__)
#define SOTTO_INLINE inline __attribute__((always_inline))
#else
#define SOTTO_INLINE __forceinline
#endif

// Writes one column of a tile: k floats to int8, scale and sums. `column` of `n`.
typedef void (*sotto_quantize_t)(const float * x, int64_t k, int kind, void * tile, int64_t n, int64_t column);

// dst[c * dst_stride + r] for the 16 rows of a panel and the n columns of a tile; `rows` < 16 in the last panel of a matrix.
typedef void (*sotto_tile_t)(const uint8_t * panel, int64_t k, const sotto_acts * acts, float * dst, int64_t dst_stride, int rows);

// The same for two panels that follow one another, up to 32 rows, and up to SOTTO_WIDE_MOST columns in tiles of the set's `wide_columns`, of which
// the last one may have fewer. To the bit what tiles give. Reads up to SOTTO_WIDE_SLACK bytes beyond the last tile.
typedef void (*sotto_wide_t)(const uint8_t * panels, int64_t k, const sotto_acts * acts, int64_t columns, float * dst,
                             int64_t dst_stride, int rows);

enum { SOTTO_WIDE_MOST = 128, SOTTO_WIDE_SLACK = 512, SOTTO_AMX_COLUMNS = 16 };

// Weights that are not packed: rows of a matrix as its file holds them, `stride` bytes apart; k a multiple of SOTTO_FLOATS. A tile
// of activations is float[k / SOTTO_FLOATS][columns][SOTTO_FLOATS].
enum sotto_float { SOTTO_F16, SOTTO_BF16, SOTTO_F32, SOTTO_N_FLOAT_KINDS };
enum { SOTTO_FLOATS = 16, SOTTO_FLOAT_ROWS = 24 };

// dst[c * dst_stride + r] for up to SOTTO_FLOAT_ROWS rows.
typedef void (*sotto_float_tile_t)(const uint8_t * w, int64_t stride, int64_t k, const float * acts, float * dst, int64_t dst_stride,
                                   int rows);

enum { SOTTO_MAX_QUERIES = 4, SOTTO_KV_BLOCK = 64 };

// What keys and values may be.
enum sotto_kv { SOTTO_KV_F32, SOTTO_KV_F16, SOTTO_KV_Q8_0, SOTTO_KV_Q4_0, SOTTO_N_KV };

// Queries of one KV head.
struct sotto_queries {
    const float * q[SOTTO_MAX_QUERIES];
    float *       dst[SOTTO_MAX_QUERIES];
    int64_t       d_k;
    int64_t       ahead_k;  // bytes to a row that will be wanted later, for prefetching
    int64_t       ahead_v;
    float         scale;
    float         softcap;  // 0: none
};

// Scores of cells whose keys are at keys[0 .. count - 1], count <= SOTTO_KV_BLOCK: scores[SOTTO_KV_BLOCK][SOTTO_MAX_QUERIES], and
// raises `most` to the largest of each query. `bias` is null, or what is added to them, -infinity where a query may not look.
typedef void (*sotto_scores_t)(const sotto_queries * a, const uint8_t * const * keys, int count, const float * bias, float * scores,
                               float most[SOTTO_MAX_QUERIES]);

// weights = exp(score - most), 0 where that is nothing to a float; `total` grows by their sum, cell by cell.
typedef void (*sotto_weigh_t)(const float * scores, int count, const float most[SOTTO_MAX_QUERIES], float * weights,
                              float total[SOTTO_MAX_QUERIES]);

// dst[d .. d + width * lanes - 1] of each query grows by weight * value, cell by cell.
typedef void (*sotto_values_t)(const sotto_queries * a, const uint8_t * const * values, int count, const float * weights, int64_t d);

// Elements d .. end - 1 of a row as floats: without rounding, of whatever type it is.
typedef void (*sotto_expand_t)(const uint8_t * row, int64_t d, int64_t end, float * out);

struct sotto_kernels {
    const char *     name;
    sotto_quantize_t quantize;
    sotto_tile_t     tile[SOTTO_N_KINDS][SOTTO_MAX_COLS + 1];  // [kind][columns], columns from 1
    sotto_float_tile_t float_tile[SOTTO_N_FLOAT_KINDS][SOTTO_MAX_COLS + 1];
    int              lanes;                                    // head sizes are multiples of it
    int              wide;                                     // of 1, 2, 4: the most vectors that `values` adds at a time
    sotto_weigh_t    weigh;
    sotto_expand_t   expand[SOTTO_N_KV];
    sotto_scores_t   scores[SOTTO_N_KV][SOTTO_MAX_QUERIES];    // [type][queries - 1]
    sotto_values_t   values[SOTTO_N_KV][SOTTO_MAX_QUERIES][3]; // [type][queries - 1][width 1, 2, 4]
    const sotto_wide_t * wide_tile = nullptr;                  // [kind], or null
    int64_t          wide_columns = 0;                         // of a tile of those
    int64_t          wide_above[2] = {};                       // columns above which they pay: weights that are taken apart, and bytes
};

extern const sotto_kernels sotto_kernels_generic;
#if defined(__x86_64__) || defined(_M_X64)
extern const sotto_kernels sotto_kernels_avx2;
extern const sotto_kernels sotto_kernels_avxvnni;
extern const sotto_kernels sotto_kernels_avx512vnni;
#ifdef SOTTO_AMX
extern const sotto_kernels sotto_kernels_avx512amx;  // the same, and wide
extern const sotto_wide_t  sotto_wide_amx[SOTTO_N_KINDS];
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const sotto_kernels sotto_kernels_neondot;
extern const sotto_kernels sotto_kernels_neoni8mm;
#endif

extern const uint8_t sotto_iq4_nl_table[16];  // the values of IQ4_NL, plus 128
