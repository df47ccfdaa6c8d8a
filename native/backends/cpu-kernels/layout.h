// layout.h: how packed weights and quantised activations lie in memory. Everything here is a contract between pack.cpp,
// which writes it once, and the kernels of every instruction set, which read it. No intrinsics, no ggml state.
//
// Weights: panels of 16 rows, a panel's blocks one after another in the order a kernel reads them. A block is 32 columns.
// Operand v (0..7) of a block holds columns 4v..4v+3 of 16 rows: byte 4r+b is row r, column 4v+b, as an unsigned number.
// That is what VPDPBUSD multiplies with one broadcast dword of activations. In memory, a block is
//
//     nibbles  4 x 64 bytes   vector j: low nibbles are operand j, high nibbles are operand j+4
//     high bits, where a type has more than four: see below
//     bytes    8 x 64 bytes   for 8-bit types, in place of nibbles
//
// and its scales stand before it (types with blocks of 32) or in a header of 8 blocks (types with super-blocks of 256).
// Offsets (q - 8, q - 16, q - 32, q - 128) are not applied to weights: the accumulator starts at -offset * sum(activations).
//
// Activations: int8 with one scale for 32 of them, in tiles of up to SOTTO_MAX_COLS columns, see struct sotto_acts. One scale for 256
// would save a multiplication a block, but real activations have outliers: a 134 M model's perplexity rose by 0.5 %.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SOTTO_ROWS = 16, SOTTO_MAX_COLS = 12 };

// Of packed weights in files: another number makes every one of them again.
enum { SOTTO_LAYOUT = 1 };

enum sotto_kind {
    SOTTO_Q4_0,    // f16 d[16] | nibbles                                     w = d * (q - 8)
    SOTTO_Q4_1,    // f16 d[16], m[16] | nibbles                              w = d * q + m
    SOTTO_Q5_0,    // f16 d[16] | bits[64]: bit v is operand v's | nibbles    w = d * (q - 16)
    SOTTO_Q5_1,    // f16 d[16], m[16] | bits[64] | nibbles                   w = d * q + m
    SOTTO_Q8_0,    // f16 d[16] | bytes                                       w = d * (q - 128)
    SOTTO_IQ4_NL,  // f16 d[16] | nibbles, indices of a table                 w = d * (table[q] - 128)
    SOTTO_Q4_K,    // f16 d[16], m[16] | u8 scales[8][16], mins[8][16] | 8 x nibbles            w = d * s * q - m * min
    SOTTO_Q5_K,    // the same with bits[64] before the nibbles of each block
    SOTTO_Q6_K,    // f16 d[16] | i8 scales[16][16] | 8 x (bits[2][64]: operand v is at bits 2(v%4) of vector v/4 | nibbles)
                   //                                                         w = d * s * (q - 32), s for 16 columns
    SOTTO_N_KINDS
};

// What a kernel needs to know of a type at compile time.
struct sotto_traits {
    int header;      // bytes before every block, or before every 8 blocks of a super-block type
    int block;       // bytes of a block after its header
    int super;       // blocks that share a header: 1 or 8
    int offset;      // of the unsigned numbers
    bool has_min;    // w has a term that does not depend on q
    bool halves;     // the two halves of a block have scales of their own
    int bits;        // 4, 5, 6 or 8
};

constexpr sotto_traits sotto_traits_of(int kind) {
    return kind == SOTTO_Q4_0   ? sotto_traits{  32, 256, 1,   8, false, false, 4 }
         : kind == SOTTO_Q4_1   ? sotto_traits{  64, 256, 1,   0, true,  false, 4 }
         : kind == SOTTO_Q5_0   ? sotto_traits{  32, 320, 1,  16, false, false, 5 }
         : kind == SOTTO_Q5_1   ? sotto_traits{  64, 320, 1,   0, true,  false, 5 }
         : kind == SOTTO_Q8_0   ? sotto_traits{  32, 512, 1, 128, false, false, 8 }
         : kind == SOTTO_IQ4_NL ? sotto_traits{  32, 256, 1, 128, false, false, 8 }
         : kind == SOTTO_Q4_K   ? sotto_traits{ 320, 256, 8,   0, true,  false, 4 }
         : kind == SOTTO_Q5_K   ? sotto_traits{ 320, 320, 8,   0, true,  false, 5 }
         :                        sotto_traits{ 288, 384, 8,  32, false, true,  6 };
}

constexpr size_t sotto_panel_size(int kind, int64_t columns) {
    return size_t(columns / 32 / sotto_traits_of(kind).super) *
           size_t(sotto_traits_of(kind).header + sotto_traits_of(kind).super * sotto_traits_of(kind).block);
}

// Tiles split n columns as evenly as possible: 13 are 7 and 6, never 12 and 1, so that no width is a cliff.
constexpr int64_t sotto_n_tiles(int64_t n) { return (n + SOTTO_MAX_COLS - 1) / SOTTO_MAX_COLS; }
constexpr int64_t sotto_tile_begin(int64_t n, int64_t tile) { return n * tile / sotto_n_tiles(n); }

// The activations of one tile of n columns of k values. Two sums a block: of each half, for types whose halves have scales.
struct sotto_acts {
    const int8_t *  q;       // [k/32][n][32]
    const int32_t * start;   // [k/32][halves][n]: -offset * sum, where accumulators start; types without a minimum
    const float *   sum;     // [k/32][n]: scale * sum; types with a minimum
    const float *   scale;   // [k/32][n]
};

constexpr size_t sotto_acts_size(int64_t k, int64_t n) {
    return size_t(n) * (size_t(k) + size_t(k / 32) * (2 * sizeof(int32_t) + sizeof(float)));
}

// Where the parts of a tile lie in memory of sotto_acts_size bytes.
inline sotto_acts sotto_acts_at(void * memory, int64_t k, int64_t n) {
    char * at = (char *) memory;
    sotto_acts acts;
    acts.q     = (const int8_t *) at;
    acts.start = (const int32_t *) (at + n * k);
    acts.sum   = (const float *) acts.start;
    acts.scale = (const float *) (at + n * k + n * (k / 32) * 2 * (int64_t) sizeof(int32_t));
    return acts;
}

// What a kernel needs of a block's activations besides themselves: their scale, and the sums of its halves in the form its type wants.
static inline void sotto_put_sums(const sotto_acts & acts, const sotto_traits & T, int64_t i, int64_t n, int64_t column, float scale,
                                  int32_t sum0, int32_t sum1, int32_t zero = 0) {
    ((float *) acts.scale)[i * n + column] = scale;
    if (T.has_min) {
        ((float *) acts.sum)[i * n + column] = scale * float(sum0 + sum1);
    } else if (T.halves) {
        ((int32_t *) acts.start)[(2 * i) * n + column]     = zero - T.offset * sum0;
        ((int32_t *) acts.start)[(2 * i + 1) * n + column] = zero - T.offset * sum1;
    } else {
        ((int32_t *) acts.start)[i * n + column] = zero - T.offset * (sum0 + sum1);
    }
}
