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

// Weights of two panels taken apart, the sums of two tiles, and totals: together they stay in the L1 cache.
template <int KIND> struct room {
    static constexpr sotto_traits T = sotto_traits_of(KIND);
    static constexpr int parts  = T.halves ? 2 : 1;   // sums of a block
    static constexpr int blocks = T.halves ? 2 : 4;   // at a time
    __m512i w[2][blocks][8];
    __m512  scale[blocks][parts][2];
    __m512  min[blocks][2];
    __m512i sum[2][blocks * parts][2][SOTTO_WIDE_COLS];
    __m512  total[SOTTO_WIDE_TILES][SOTTO_WIDE_COLS][2];
};

template <int KIND> class panel_reader {
    static constexpr sotto_traits T = sotto_traits_of(KIND);
    const uint8_t * at;
    const uint8_t * header = nullptr;

 public:
    explicit panel_reader(const uint8_t * panel) : at(panel) {}

    void read(room<KIND> & r, int p, int64_t begin, int count) {
        if constexpr (T.super == 8) {
            if (begin % 8 == 0) {
                header = at;
                at += T.header;
            }
        }
        for (int i = 0; i < count; i++) {
            if constexpr (T.super == 8) {
                const int64_t b = begin % 8 + i;
                const uint8_t * scales = header + (T.has_min ? 64 : 32);
                const auto row = [](const uint8_t * numbers) { return _mm_loadu_si128((const __m128i *) numbers); };
                const __m512 d = halves(header);
                if constexpr (T.halves) {
                    for (int h = 0; h < 2; h++) {
                        r.scale[i][h][p] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(row(scales + 32 * b + 16 * h))));
                    }
                } else {
                    const __m512 m = _mm512_sub_ps(_mm512_setzero_ps(), halves(header + 32));
                    r.scale[i][0][p] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(row(scales + 16 * b))));
                    r.min[i][p]      = _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(row(scales + 128 + 16 * b))));
                }
            } else {
                r.scale[i][0][p] = halves(at);
                if constexpr (T.has_min) {
                    r.min[i][p] = halves(at + 32);
                }
                at += T.header;
            }
            __m512i w[8];
            operands<KIND>(at, w);
            at += T.block;
            for (int v = 0; v < 8; v++) {
                r.w[p][i][v] = _mm512_sub_epi8(w[v], _mm512_set1_epi8((char) T.offset));  // signed: no sum need start at -offset * sum
            }
        }
    }
};

// The sums of one or two tiles of activations, `stride` bytes from block to block.
template <int KIND> void multiply(room<KIND> & r, const int8_t * a0, const int8_t * a1, int64_t stride0, int64_t stride1, int count) {
    constexpr int parts = room<KIND>::parts;
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
        _tile_stored(0, r.sum[0][i][0], 64);
        _tile_stored(1, r.sum[0][i][1], 64);
        if (a1) {
            _tile_stored(2, r.sum[1][i][0], 64);
            _tile_stored(3, r.sum[1][i][1], 64);
        }
    }
}

// Scales the sums of four columns and adds them to their totals.
template <int KIND>
void add(const room<KIND> & r, int tile, int count, int column, const float * scale, const float * sum, int64_t n, __m512 (*total)[2]) {
    constexpr sotto_traits T = sotto_traits_of(KIND);
    constexpr int parts = room<KIND>::parts;
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
                const __m512 low = _mm512_cvtepi32_ps(r.sum[tile][parts * i][p][column + c]);
                if constexpr (T.halves) {
                    const __m512 high = _mm512_cvtepi32_ps(r.sum[tile][parts * i + 1][p][column + c]);
                    const __m512 both = _mm512_fmadd_ps(high, r.scale[i][1][p], _mm512_mul_ps(low, r.scale[i][0][p]));
                    t[c][p] = _mm512_fmadd_ps(both, by, t[c][p]);
                } else {
                    t[c][p] = _mm512_fmadd_ps(_mm512_mul_ps(low, by), r.scale[i][0][p], t[c][p]);
                    if constexpr (T.has_min) {
                        t[c][p] = _mm512_fmadd_ps(r.min[i][p], _mm512_set1_ps(sum[i * n + column + c]), t[c][p]);
                    }
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
    const Tiles tiles(sotto_traits_of(KIND).halves);
    const int n_tiles = int((columns + SOTTO_WIDE_COLS - 1) / SOTTO_WIDE_COLS);
    const auto width = [&](int t) { return t + 1 < n_tiles ? SOTTO_WIDE_COLS : columns - t * SOTTO_WIDE_COLS; };
    room<KIND> r;
    for (int t = 0; t < n_tiles; t++) {
        for (int c = 0; c < SOTTO_WIDE_COLS; c++) {
            r.total[t][c][0] = r.total[t][c][1] = _mm512_setzero_ps();
        }
    }
    // A second panel that is not there is the first one again, and not written.
    panel_reader<KIND> reader[2] = { panel_reader<KIND>(panels),
                                     panel_reader<KIND>(panels + (rows > SOTTO_ROWS ? sotto_panel_size(KIND, k) : 0)) };
    for (int64_t begin = 0; begin < k / 32; begin += r.blocks) {
        const int count = k / 32 - begin < r.blocks ? int(k / 32 - begin) : int(r.blocks);
        reader[0].read(r, 0, begin, count);
        reader[1].read(r, 1, begin, count);
        SOTTO_WRITTEN();
        for (int t = 0; t < n_tiles; t += 2) {
            const int64_t n0 = width(t), n1 = t + 1 < n_tiles ? width(t + 1) : 0;
            multiply(r, acts[t].q + 32 * begin * n0, n1 ? acts[t + 1].q + 32 * begin * n1 : nullptr, 32 * n0, 32 * n1, count);
            for (int column = 0; column < n0; column += 4) {
                add(r, 0, count, column, acts[t].scale + begin * n0, acts[t].sum + begin * n0, n0, r.total[t]);
            }
            for (int column = 0; column < n1; column += 4) {
                add(r, 1, count, column, acts[t + 1].scale + begin * n1, acts[t + 1].sum + begin * n1, n1, r.total[t + 1]);
            }
        }
    }
    const uint32_t mask = rows < 32 ? (1u << rows) - 1 : ~0u;
    for (int64_t c = 0; c < columns; c++) {
        const __m512 * total = r.total[c / SOTTO_WIDE_COLS][c % SOTTO_WIDE_COLS];
        _mm512_mask_storeu_ps(dst + c * dst_stride, (__mmask16) mask, total[0]);
        _mm512_mask_storeu_ps(dst + c * dst_stride + SOTTO_ROWS, (__mmask16) (mask >> 16), total[1]);
    }
}

}  // namespace

const sotto_wide_t sotto_wide_amx[SOTTO_N_KINDS] = { wide<SOTTO_Q4_0>,   wide<SOTTO_Q4_1>, wide<SOTTO_Q5_0>,
                                                     wide<SOTTO_Q5_1>,   wide<SOTTO_Q8_0>, wide<SOTTO_IQ4_NL>,
                                                     wide<SOTTO_Q4_K>,   wide<SOTTO_Q5_K>, wide<SOTTO_Q6_K> };
