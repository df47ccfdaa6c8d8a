// kernels-avx512amx.cpp: wide batches on the tile registers of AMX. Compiled for what kernels-avx512vnni.cpp is, AMX-TILE and AMX-INT8.
//
// A block of weights as layout.h has it is a B tile (8 rows of 16 x 4 numbers), a block of 16 columns of activations an A tile
// (16 rows of 32): one TDPBSSD makes their 16 x 16 sums. Those have to go through memory to be scaled, which costs as much as they do.
// Sums of integers are exact, and what follows them is done as in the VNNI tiles, in the same order: so is the result, to the bit.

#include "kernels.h"

#include <immintrin.h>

#include "../../ggml/amx-tile-config.h"

// GCC's _tile_loadd does not say that it reads memory.
#define SOTTO_WRITTEN() __asm__ volatile("" ::: "memory")

namespace {

#include "operands-512.inc"

// What is configured stays with the thread: others' tiles (ggml has some) must find no trace of ours.
class Tiles {
 public:
    explicit Tiles(bool halves) {
        struct alignas(64) {
            uint8_t  palette, start_row, reserved[14];
            uint16_t bytes[16];
            uint8_t  rows[16];
        } config = {};
        config.palette = 1;
        for (int t = 0; t < 8; t++) {
            config.bytes[t] = t == 4 || t == 5 ? (halves ? 16 : 32) : 64;
            config.rows[t]  = t >= 6 ? (halves ? 4 : 8) : 16;
        }
        _tile_loadconfig(&config);
    }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles &) = delete;
    Tiles & operator=(const Tiles &) = delete;
};

#include "room-512.inc"

// What the tile registers leave for the vector registers to scale.
template <bool HALVES> struct sums {
    __m512i of[2][room<HALVES>::blocks * room<HALVES>::parts][2][SOTTO_AMX_COLUMNS];
};

// The sums of one or two tiles of activations, `stride` bytes from block to block.
template <bool HALVES>
void multiply(const room<HALVES> & r, sums<HALVES> & s, const int8_t * a0, const int8_t * a1, int64_t stride0, int64_t stride1, int count) {
    constexpr int parts = room<HALVES>::parts;
    for (int i = 0; i < count * parts; i++) {
        const int part = i % parts;
        const int v = 8 / parts * part;
        _tile_loadd(4, a0 + i / parts * stride0 + 16 * part, 32);
        _tile_loadd(6, &r.w[0][i / parts][v], 64);
        _tile_zero(0);
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(7, &r.w[1][i / parts][v], 64);
        _tile_zero(1);
        _tile_dpbssd(1, 4, 7);
        if (a1) {
            _tile_loadd(5, a1 + i / parts * stride1 + 16 * part, 32);
            _tile_zero(2);
            _tile_dpbssd(2, 5, 6);
            _tile_zero(3);
            _tile_dpbssd(3, 5, 7);
        }
        _tile_stored(0, s.of[0][i][0], 64);
        _tile_stored(1, s.of[0][i][1], 64);
        if (a1) {
            _tile_stored(2, s.of[1][i][0], 64);
            _tile_stored(3, s.of[1][i][1], 64);
        }
    }
}

// Scales the sums of four columns and adds them to their totals.
template <bool HAS_MIN, bool HALVES>
void add(const room<HALVES> & r, const sums<HALVES> & s, int tile, int count, int column, const float * scale, const float * sum, int64_t n, __m512 (*total)[2]) {
    constexpr int parts = room<HALVES>::parts;
    __m512 t[4][2];
    SOTTO_UNROLL
    for (int c = 0; c < 8; c++) {
        t[c / 2][c % 2] = total[column + c / 2][c % 2];
    }
    for (int i = 0; i < count; i++) {
        SOTTO_UNROLL
        for (int c = 0; c < 4; c++) {
            const __m512 by = _mm512_set1_ps(scale[i * n + column + c]);
            SOTTO_UNROLL
            for (int p = 0; p < 2; p++) {
                SOTTO_UNROLL
                for (int part = 0; part < parts; part++) {
                    const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(s.of[tile][parts * i + part][p][column + c]), r.scale[i][part][p]);
                    t[c][p] = _mm512_fmadd_ps(x, by, t[c][p]);
                }
                if constexpr (HAS_MIN) {
                    t[c][p] = _mm512_fmadd_ps(r.min[i][p], _mm512_set1_ps(sum[i * n + column + c]), t[c][p]);
                }
            }
        }
    }
    SOTTO_UNROLL
    for (int c = 0; c < 8; c++) {
        total[column + c / 2][c % 2] = t[c / 2][c % 2];
    }
}

template <int KIND>
void wide(const uint8_t * panels, int64_t k, const sotto_acts * acts, int64_t columns, float * dst, int64_t dst_stride, int rows) {
    constexpr sotto_traits T = sotto_traits_of(KIND);
    const Tiles tiles(T.halves);
    const int n_tiles = int((columns + SOTTO_AMX_COLUMNS - 1) / SOTTO_AMX_COLUMNS);
    const auto width = [&](int t) { return t + 1 < n_tiles ? SOTTO_AMX_COLUMNS : columns - t * SOTTO_AMX_COLUMNS; };
    sums<T.halves> s;
    walk<KIND, T.offset>(panels, k, columns, dst, dst_stride, rows, [&](room<T.halves> & r, int64_t begin, int count) {
        SOTTO_WRITTEN();
        for (int t = 0; t < n_tiles; t += 2) {
            const int64_t n[2] = { width(t), t + 1 < n_tiles ? width(t + 1) : 0 };
            multiply(r, s, acts[t].q + 32 * begin * n[0], n[1] ? acts[t + 1].q + 32 * begin * n[1] : nullptr, 32 * n[0], 32 * n[1], count);
            for (int i = 0; i < 2; i++) {
                for (int column = 0; column < n[i]; column += 4) {
                    add<T.has_min>(r, s, i, count, column, acts[t + i].scale + begin * n[i], acts[t + i].sum + begin * n[i], n[i],
                                   r.total + (t + i) * SOTTO_AMX_COLUMNS);
                }
            }
        }
    });
}

}  // namespace

const sotto_wide_t sotto_wide_amx[SOTTO_N_KINDS] = { wide<SOTTO_Q4_0>,   wide<SOTTO_Q4_1>, wide<SOTTO_Q5_0>,
                                                     wide<SOTTO_Q5_1>,   wide<SOTTO_Q8_0>, wide<SOTTO_IQ4_NL>,
                                                     wide<SOTTO_Q4_K>,   wide<SOTTO_Q5_K>, wide<SOTTO_Q6_K> };
