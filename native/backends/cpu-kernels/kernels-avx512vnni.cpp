// kernels-avx512vnni.cpp: 16 rows in a register, one VPDPBUSD an operand and column. Compiled for AVX-512 F, BW, VL, DQ and VNNI.

#include "kernels.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

namespace {

#include "operands-512.inc"

// Sums of products count from the bits of 1.5 * 2^23, so that they are floats as they are: 1.5 * 2^23 and the sum, which is less than 2^22.
// One FMA scales that and takes the first part away again, which is exact: weight scales have at most 18 bits.
constexpr int32_t ZERO = 0x4b400000;
inline __m512 less_zero(__m512 ws) { return _mm512_mul_ps(ws, _mm512_set1_ps(-12582912.0f)); }
inline __m512 scaled(__m512i sum, __m512 ws, __m512 less) { return _mm512_fmadd_ps(_mm512_castsi512_ps(sum), ws, less); }

inline __m512i dot(__m512i sum, __m512i w, const int8_t * a) {
    int32_t four;
    memcpy(&four, a, 4);
    return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
}

template <int KIND, int N>
void tile(const uint8_t * panel, int64_t k, const sotto_acts * acts, float * dst, int64_t dst_stride, int rows) {
    constexpr sotto_traits T = sotto_traits_of(KIND);
    const int64_t n_blocks = k / 32;
    const int8_t * a = acts->q;
    const int32_t * start = acts->start;
    const float * sum = acts->sum;
    const float * scale = acts->scale;
    constexpr int G = N <= 6 ? N : (N + 1) / 2, PARTS = T.halves ? 2 : 1;
    __m512 total[N];
    for (int c = 0; c < N; c++) {
        total[c] = _mm512_setzero_ps();
    }
    for (int64_t begin = 0; begin < n_blocks; begin += 8) {
        const int count = n_blocks - begin < 8 ? int(n_blocks - begin) : 8;
        const uint8_t * header = panel;
        __m512 d, m;
        if constexpr (T.super == 8) {
            d = halves(header);
            if constexpr (T.has_min) {
                m = _mm512_sub_ps(_mm512_setzero_ps(), halves(header + 32));
            }
            panel += T.header;
        }
        for (int i = 0; i < count; i++) {
            __m512 ws, ws2, wm;
            if constexpr (T.super == 8) {
                const uint8_t * scales = header + (T.has_min ? 64 : 32);
                const auto row = [](const uint8_t * p) { return _mm_loadu_si128((const __m128i *) p); };
                if constexpr (T.halves) {
                    ws  = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(row(scales + 32 * i))));
                    ws2 = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(row(scales + 32 * i + 16))));
                } else {
                    ws = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(row(scales + 16 * i))));
                    wm = _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(row(scales + 128 + 16 * i))));
                }
            } else {
                ws = halves(panel);
                if constexpr (T.has_min) {
                    wm = halves(panel + 32);
                }
                panel += T.header;
            }
            // What comes a few blocks later: the hardware's own prefetch stops at each 4 KB page, and a few columns wait for memory as one does.
            for (int line = 0; line < T.header / T.super + T.block; line += 64) {
                _mm_prefetch((const char *) panel + (T.block < 512 ? 2048 : 4096) + line, _MM_HINT_T0);
            }
            __m512i w[8];
            operands<KIND>(panel, w);
            panel += T.block;
            // Each product waits for its column's last one, so columns take turns: as many as the registers hold sums for.
            SOTTO_UNROLL
            for (int part = 0; part < PARTS; part++) {
                const __m512 by_row = part ? ws2 : ws, less = less_zero(by_row);
                SOTTO_UNROLL
                for (int from = 0; from < N; from += G) {
                    __m512i sums[G];
                    SOTTO_UNROLL
                    for (int g = 0; g < G; g++) {
                        if (from + g < N) {
                            sums[g] = _mm512_set1_epi32(T.has_min ? ZERO : start[part * N + from + g]);
                        }
                    }
                    SOTTO_UNROLL
                    for (int v = part * 4; v < (PARTS == 1 ? 8 : part * 4 + 4); v++) {
                        SOTTO_UNROLL
                        for (int g = 0; g < G; g++) {
                            if (from + g < N) {
                                sums[g] = dot(sums[g], w[v], a + 32 * (from + g) + 4 * v);
                            }
                        }
                    }
                    SOTTO_UNROLL
                    for (int g = 0; g < G; g++) {
                        const int c = from + g;
                        if (c < N) {
                            total[c] = _mm512_fmadd_ps(scaled(sums[g], by_row, less), _mm512_set1_ps(scale[c]), total[c]);
                            if constexpr (T.has_min) {
                                total[c] = _mm512_fmadd_ps(wm, _mm512_set1_ps(sum[c]), total[c]);
                            }
                        }
                    }
                }
            }
            a += 32 * N;
            start += T.halves ? 2 * N : N;
            sum += N;
            scale += N;
        }
    }
    const __mmask16 mask = (__mmask16) ((1u << rows) - 1);
    for (int c = 0; c < N; c++) {
        _mm512_mask_storeu_ps(dst + c * dst_stride, mask, total[c]);
    }
}

#include "room-512.inc"

constexpr int64_t WIDE_COLUMNS = 24;

// Totals that the compiler keeps in registers from block to block push the sums out of them.
#if defined(__GNUC__)
#define SOTTO_IN_MEMORY() __asm__ volatile("" ::: "memory")
#else
#define SOTTO_IN_MEMORY() _ReadWriteBarrier()
#endif

#include "wide-512.inc"

inline int32_t sum_of(__m128i a) {
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

void quantize(const float * x, int64_t k, int kind, void * memory, int64_t n, int64_t column) {
    const sotto_traits T = sotto_traits_of(kind);
    const sotto_acts acts = sotto_acts_at(memory, k, n);
    const __m256i ones = _mm256_set1_epi8(1);
    for (int64_t i = 0; i < k / 32; i++) {
        const __m512 x0 = _mm512_loadu_ps(x + 32 * i), x1 = _mm512_loadu_ps(x + 32 * i + 16);
        const float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
        const float scale = most / 127.0f;
        const __m512 inverse = _mm512_set1_ps(most > 0 ? 127.0f / most : 0.0f);
        const __m128i q0 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)));
        const __m128i q1 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse)));
        const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(q0), q1, 1);
        _mm256_storeu_si256((__m256i *) (acts.q + (i * n + column) * 32), both);
        const __m256i fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, both);
        const int32_t sum0 = sum_of(_mm256_castsi256_si128(fours));
        const int32_t sum1 = sum_of(_mm256_extracti128_si256(fours, 1));
        sotto_put_sums(acts, T, i, n, column, scale, sum0, sum1, ZERO);
    }
}

#include "tiles.inc"

#include "quad.inc"

constexpr float LEAST = -87.0f;  // e to the power of less counts as nothing

struct Lanes {
    using type = __m512;
    static constexpr int n = 16;
    static constexpr int cells = 4;
    static constexpr int wide = 4;
    static type zero() { return _mm512_setzero_ps(); }
    static type set(float x) { return _mm512_set1_ps(x); }
    static type load(const float * p) { return _mm512_loadu_ps(p); }
    static type load_half(const uint16_t * p) { return halves((const uint8_t *) p); }
    static type load_bf16(const uint16_t * p) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) p)), 16));
    }
    // Into the second cache: Zen 4 has few misses of the first one under way at a time, and its own prefetch into the second goes further.
    static void prefetch(const void * p) { _mm_prefetch((const char *) p, _MM_HINT_T1); }
    static float half(uint16_t h) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))); }
    static type load_bytes(const uint8_t * p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) p))); }
    static type load_nibbles(const uint8_t * p, int high) {
        // VPERMPS looks at the low four bits of an index only.
        const __m512 table = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
        const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p));
        return _mm512_permutexvar_ps(_mm512_srl_epi32(bytes, _mm_cvtsi32_si128(4 * high)), table);
    }
    static void store(float * p, type x) { _mm512_storeu_ps(p, x); }
    static type add(type a, type b) { return _mm512_add_ps(a, b); }
    static type div(type a, type b) { return _mm512_div_ps(a, b); }
    static type min(type a, type b) { return _mm512_min_ps(a, b); }
    static type max(type a, type b) { return _mm512_max_ps(a, b); }
    static type sub(type a, type b) { return _mm512_sub_ps(a, b); }
    static type mul(type a, type b) { return _mm512_mul_ps(a, b); }
    static type fma(type a, type b, type c) { return _mm512_fmadd_ps(a, b, c); }
    static type repeat(Quad q) { return _mm512_broadcast_f32x4(q.x); }
    static Quad largest(type x) {
        const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
        return { _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)) };
    }
    // Every total adds elements 8 apart, then 4, 2 and 1: alone or among sixteen, its bits are the same.
    template <int HIGH> static type pick(type a, type b) { return _mm512_shuffle_f32x4(a, b, HIGH); }
    static type by8(type a, type b) { return add(pick<0x44>(a, b), pick<0xee>(a, b)); }
    static type by4(type a, type b) { return add(pick<0x88>(a, b), pick<0xdd>(a, b)); }
    static type by2(type a, type b) { return add(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee)); }
    static type by1(type a, type b) { return add(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd)); }
    static Quad totals(const type x[4]) {
        type s = by4(by8(x[0], x[1]), by8(x[2], x[3]));
        s = by2(s, s);
        s = by1(s, s);
        return { _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, s)) };
    }
    // to[4 * c + q] = the total of x[q][c].
    static void store_totals(float * to, const type x[4][4]) {
        type s[4];
        for (int q = 0; q < 4; q++) {
            s[q] = by4(by8(x[q][0], x[q][1]), by8(x[q][2], x[q][3]));
        }
        store(to, by1(by2(s[0], s[1]), by2(s[2], s[3])));
    }
    // e^x = 2^n * e^r, |r| <= ln(2)/2: the Taylor polynomial of degree 6 is right to 2^-23 there.
    static type exp(type x) {
        const type n = _mm512_roundscale_ps(_mm512_mul_ps(x, set(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const type r = fma(n, set(-1.42860677e-6f), fma(n, set(-0.693145752f), x));  // ln(2) in two parts
        type p = fma(set(1.0f / 720), r, set(1.0f / 120));
        p = fma(fma(p, r, set(1.0f / 24)), r, set(1.0f / 6));
        p = fma(fma(fma(p, r, set(0.5f)), r, set(1)), r, set(1));
        return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, set(LEAST), _CMP_NLT_UQ), p, n);
    }
};

}  // namespace

#include "attention.inc"
#include "floats.inc"

const sotto_kernels sotto_kernels_avx512vnni = { "avx512vnni", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION,
                                               wide_tiles, WIDE_COLUMNS, { SOTTO_MAX_COLS, 3 * SOTTO_MAX_COLS } };
#ifdef SOTTO_AMX
const sotto_kernels sotto_kernels_avx512amx = { "avx512amx", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION,
                                               sotto_wide_amx, SOTTO_AMX_COLUMNS, { SOTTO_MAX_COLS, SOTTO_MAX_COLS } };
#endif
