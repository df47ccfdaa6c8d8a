// kernels-generic.cpp: what every kernel computes, in plain C++: the reference for the others, and the fallback.

#include "kernels.h"

#include <math.h>
#include <string.h>

const uint8_t sotto_iq4_nl_table[16] = {
    // kvalues_iq4nl of ggml-common.h, each plus 128
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241,
};

namespace {

float half_to_float(uint16_t h) {
    const uint32_t sign = uint32_t(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31;
    uint32_t mantissa = h & 1023;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000 | mantissa << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else if (mantissa == 0) {
        bits = sign;
    } else {
        int shift = 0;
        while (!(mantissa & 1024)) {
            mantissa <<= 1;
            shift++;
        }
        bits = sign | uint32_t(113 - shift) << 23 | (mantissa & 1023) << 13;
    }
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

float bf16_to_float(uint16_t h) {
    const uint32_t bits = uint32_t(h) << 16;
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

// The unsigned number of row r, operand v, byte b.
template <int KIND> int number(const uint8_t * block, int r, int v, int b) {
    constexpr sotto_traits T = sotto_traits_of(KIND);
    const int lane = 4 * r + b;
    if (KIND == SOTTO_Q8_0) {
        return block[64 * v + lane];
    }
    const uint8_t byte = block[T.block - 256 + 64 * (v % 4) + lane];
    const int nibble = v < 4 ? byte & 15 : byte >> 4;
    switch (KIND) {
        case SOTTO_IQ4_NL: return sotto_iq4_nl_table[nibble];
        case SOTTO_Q5_0:
        case SOTTO_Q5_1:
        case SOTTO_Q5_K: return nibble | (block[lane] >> v & 1) << 4;
        case SOTTO_Q6_K: return nibble | (block[64 * (v / 4) + lane] >> 2 * (v % 4) & 3) << 4;
        default: return nibble;
    }
}

template <int KIND, int N>
void tile(const uint8_t * panel, int64_t k, const sotto_acts * acts, float * dst, int64_t dst_stride, int rows) {
    constexpr sotto_traits T = sotto_traits_of(KIND);
    constexpr int S = T.halves ? 2 : 1;
    const int64_t n_blocks = k / 32;
    for (int c = 0; c < N; c++) {
        for (int r = 0; r < rows; r++) {
            float total = 0;
            for (int64_t i = 0; i < n_blocks; i++) {
                const uint8_t * header = panel + (i / T.super) * (T.header + T.super * T.block);
                const uint8_t * block = header + T.header + (i % T.super) * T.block;
                uint16_t h[2];
                memcpy(&h[0], header + 2 * r, 2);
                memcpy(&h[1], header + (T.has_min ? 32 : 0) + 2 * r, 2);
                for (int s = 0; s < S; s++) {
                    float d = half_to_float(h[0]);
                    if (T.super == 8) {
                        const uint8_t * scales = header + (T.has_min ? 64 : 32);
                        d *= T.halves ? float((int8_t) scales[16 * (2 * (i % 8) + s) + r]) : float(scales[16 * (i % 8) + r]);
                    }
                    int32_t dot = T.has_min ? 0 : acts->start[(i * S + s) * N + c];
                    for (int v = s * 8 / S; v < (s + 1) * 8 / S; v++) {
                        for (int b = 0; b < 4; b++) {
                            dot += number<KIND>(block, r, v, b) * acts->q[(i * N + c) * 32 + 4 * v + b];
                        }
                    }
                    total += d * (acts->scale[i * N + c] * float(dot));
                }
                if (T.has_min) {
                    float m = half_to_float(h[1]);
                    if (T.super == 8) {
                        m *= -float(header[64 + 128 + 16 * (i % 8) + r]);
                    }
                    total += m * acts->sum[i * N + c];
                }
            }
            dst[c * dst_stride + r] = total;
        }
    }
}

void quantize(const float * x, int64_t k, int kind, void * memory, int64_t n, int64_t column) {
    const sotto_traits T = sotto_traits_of(kind);
    const sotto_acts acts = sotto_acts_at(memory, k, n);
    for (int64_t i = 0; i < k / 32; i++) {
        float most = 0;
        for (int j = 0; j < 32; j++) {
            const float a = x[32 * i + j] < 0 ? -x[32 * i + j] : x[32 * i + j];
            most = a > most ? a : most;
        }
        const float scale = most / 127.0f;
        const float inverse = most > 0 ? 127.0f / most : 0.0f;
        int8_t * q = (int8_t *) acts.q + (i * n + column) * 32;
        int32_t sums[2] = { 0, 0 };
        for (int j = 0; j < 32; j++) {
            // To the nearest, ties to even, as the vector units round: adding 1.5 * 2^23 leaves no fraction bits.
            const float rounded = (x[32 * i + j] * inverse + 12582912.0f) - 12582912.0f;
            q[j] = rounded >= -127 && rounded <= 127 ? (int8_t) rounded : 0;  // NaN stays harmless
            sums[j / 16] += q[j];
        }
        sotto_put_sums(acts, T, i, n, column, scale, sums[0], sums[1]);
    }
}

#include "tiles.inc"

// One number for each query.
struct Quad {
    float at[4];
    template <typename F> static Quad each(F f) { return { { f(0), f(1), f(2), f(3) } }; }
    static Quad set(float x) { return { { x, x, x, x } }; }
    static Quad load(const float * p) { return { { p[0], p[1], p[2], p[3] } }; }
    static void store(float * p, const Quad & a) { memcpy(p, a.at, sizeof(a.at)); }
    static Quad add(const Quad & a, const Quad & b) { return each([&](int i) { return a.at[i] + b.at[i]; }); }
    static Quad mul(const Quad & a, const Quad & b) { return each([&](int i) { return a.at[i] * b.at[i]; }); }
    static Quad fma(const Quad & a, const Quad & b, const Quad & c) { return each([&](int i) { return a.at[i] * b.at[i] + c.at[i]; }); }
    static Quad max(const Quad & a, const Quad & b) { return each([&](int i) { return a.at[i] > b.at[i] ? a.at[i] : b.at[i]; }); }
};

constexpr float LEAST = -87.0f;  // e to the power of less counts as nothing

struct Lanes {
    struct type {
        float at[8];
    };
    static constexpr int n = 8;
    static constexpr int cells = 1;
    static constexpr int wide = 1;
    template <typename F> static type each(F f) {
        type out;
        for (int i = 0; i < n; i++) {
            out.at[i] = f(i);
        }
        return out;
    }
    static type zero() { return set(0); }
    static type set(float x) { return each([=](int) { return x; }); }
    static type load(const float * p) { return each([=](int i) { return p[i]; }); }
    static type load_half(const uint16_t * p) { return each([=](int i) { return half_to_float(p[i]); }); }
    static type load_bf16(const uint16_t * p) { return each([=](int i) { return bf16_to_float(p[i]); }); }
    static void prefetch(const void *) {}
    static float half(uint16_t h) { return half_to_float(h); }
    static void prefetch(const uint8_t * p) { (void) p; }
    static type load_bytes(const uint8_t * p) { return each([=](int i) { return float((int8_t) p[i]); }); }
    static type load_nibbles(const uint8_t * p, int high) { return each([=](int i) { return float((p[i] >> 4 * high & 15) - 8); }); }
    static void store(float * p, const type & x) { memcpy(p, x.at, sizeof(x.at)); }
    static type sub(const type & a, const type & b) { return each([&](int i) { return a.at[i] - b.at[i]; }); }
    static type mul(const type & a, const type & b) { return each([&](int i) { return a.at[i] * b.at[i]; }); }
    static type fma(const type & a, const type & b, const type & c) { return each([&](int i) { return a.at[i] * b.at[i] + c.at[i]; }); }
    static type add(const type & a, const type & b) { return each([&](int i) { return a.at[i] + b.at[i]; }); }
    static type div(const type & a, const type & b) { return each([&](int i) { return a.at[i] / b.at[i]; }); }
    static type min(const type & a, const type & b) { return each([&](int i) { return a.at[i] < b.at[i] ? a.at[i] : b.at[i]; }); }
    static type max(const type & a, const type & b) { return each([&](int i) { return a.at[i] > b.at[i] ? a.at[i] : b.at[i]; }); }
    static type exp(const type & x) { return each([&](int i) { return x.at[i] < LEAST ? 0.0f : expf(x.at[i]); }); }
    static Quad largest(const type & x) { return Quad::each([&](int i) { return x.at[i] > x.at[i + 4] ? x.at[i] : x.at[i + 4]; }); }
    static type repeat(const Quad & q) { return each([&](int i) { return q.at[i % 4]; }); }
    static Quad totals(const type x[4]) {
        return Quad::each([&](int q) {
            float sum = 0;
            for (const float part : x[q].at) {
                sum += part;
            }
            return sum;
        });
    }
    static void store_totals(float * to, const type x[4][cells]) {
        const type column[4] = { x[0][0], x[1][0], x[2][0], x[3][0] };
        Quad::store(to, totals(column));
    }
};

}  // namespace

#include "attention.inc"
#include "floats.inc"

const sotto_kernels sotto_kernels_generic = { "generic", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION };
