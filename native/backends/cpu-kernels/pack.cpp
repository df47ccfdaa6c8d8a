#include "pack.h"

#include <string.h>

#include "ggml.h"
#define GGML_COMMON_DECL_C
#include "ggml-common.h"

namespace {

// Where ggml pairs columns i and i + 16 in a byte, as our layout does, its bytes only change their places: a load of such a model is as
// fast as memory. Null: the numbers have to be taken apart.
const uint8_t * nibbles(int kind, const void * row, int64_t i) {
    return kind == SOTTO_Q4_0     ? ((const block_q4_0 *) row)[i].qs
           : kind == SOTTO_Q4_1   ? ((const block_q4_1 *) row)[i].qs
           : kind == SOTTO_IQ4_NL ? ((const block_iq4_nl *) row)[i].qs
                                  : nullptr;
}

// A row's blocks taken apart: the unsigned numbers of 32 columns.
void numbers(int kind, const void * row, int64_t i, uint8_t q[32]) {
    switch (kind) {
        case SOTTO_Q5_0:
        case SOTTO_Q5_1: {
            const uint8_t * qs = kind == SOTTO_Q5_0 ? ((const block_q5_0 *) row)[i].qs : ((const block_q5_1 *) row)[i].qs;
            uint32_t qh;
            memcpy(&qh, kind == SOTTO_Q5_0 ? ((const block_q5_0 *) row)[i].qh : ((const block_q5_1 *) row)[i].qh, 4);
            for (int j = 0; j < 16; j++) {
                q[j]      = (qs[j] & 15) | (qh >> j & 1) << 4;
                q[j + 16] = (qs[j] >> 4) | (qh >> (j + 16) & 1) << 4;
            }
            break;
        }
        case SOTTO_Q8_0:
            for (int j = 0; j < 32; j++) {
                q[j] = uint8_t(((const block_q8_0 *) row)[i].qs[j] ^ 0x80);
            }
            break;
        case SOTTO_Q4_K:
        case SOTTO_Q5_K: {
            const int b = int(i % 8);
            const uint8_t * qs = kind == SOTTO_Q4_K ? ((const block_q4_K *) row)[i / 8].qs : ((const block_q5_K *) row)[i / 8].qs;
            for (int j = 0; j < 32; j++) {
                q[j] = qs[b / 2 * 32 + j] >> 4 * (b % 2) & 15;
                if (kind == SOTTO_Q5_K) {
                    q[j] |= (((const block_q5_K *) row)[i / 8].qh[j] >> b & 1) << 4;
                }
            }
            break;
        }
        case SOTTO_Q6_K: {
            const block_q6_K & block = ((const block_q6_K *) row)[i / 8];
            const int half = int(i % 8) / 4, quarter = int(i % 4);
            for (int j = 0; j < 32; j++) {
                const uint8_t low  = block.ql[64 * half + 32 * (quarter % 2) + j] >> 4 * (quarter / 2) & 15;
                const uint8_t high = block.qh[32 * half + j] >> 2 * quarter & 3;
                q[j] = low | high << 4;
            }
            break;
        }
    }
}

// Four columns at a time: a word holds one operand of one row.
void place(int kind, const uint8_t q[32], int row, uint8_t * block) {
    const sotto_traits T = sotto_traits_of(kind);
    uint32_t word[8];
    memcpy(word, q, sizeof(word));
    uint8_t * at = block + 4 * row;
    if (kind == SOTTO_Q8_0) {
        for (int v = 0; v < 8; v++) {
            memcpy(at + 64 * v, &word[v], 4);
        }
        return;
    }
    for (int j = 0; j < 4; j++) {
        const uint32_t nibbles = (word[j] & 0x0f0f0f0f) | (word[j + 4] & 0x0f0f0f0f) << 4;
        memcpy(at + T.block - 256 + 64 * j, &nibbles, 4);
    }
    uint32_t high[2] = { 0, 0 };
    if (T.bits == 5) {
        for (int v = 0; v < 8; v++) {
            high[0] |= (word[v] >> 4 & 0x01010101) << v;
        }
        memcpy(at, &high[0], 4);
    } else if (T.bits == 6) {
        for (int v = 0; v < 8; v++) {
            high[v / 4] |= (word[v] >> 4 & 0x03030303) << 2 * (v % 4);
        }
        memcpy(at, &high[0], 4);
        memcpy(at + 64, &high[1], 4);
    }
}

void put_half(uint8_t * at, int row, ggml_half value) { memcpy(at + 2 * row, &value, 2); }

// The 6-bit scales and minima of Q4_K and Q5_K, as get_scale_min_k4 of ggml-quants.c unpacks them.
void scale_and_min(const uint8_t * packed, int b, uint8_t * scale, uint8_t * min) {
    if (b < 4) {
        *scale = packed[b] & 63;
        *min   = packed[b + 4] & 63;
    } else {
        *scale = (packed[b + 4] & 15) | (packed[b - 4] >> 6) << 4;
        *min   = (packed[b + 4] >> 4) | (packed[b] >> 6) << 4;
    }
}

void put_header(int kind, const void * row, int64_t i, int r, uint8_t * header) {
    switch (kind) {
        case SOTTO_Q4_0:   put_half(header, r, ((const block_q4_0 *) row)[i].d); break;
        case SOTTO_Q5_0:   put_half(header, r, ((const block_q5_0 *) row)[i].d); break;
        case SOTTO_Q8_0:   put_half(header, r, ((const block_q8_0 *) row)[i].d); break;
        case SOTTO_IQ4_NL: put_half(header, r, ((const block_iq4_nl *) row)[i].d); break;
        case SOTTO_Q4_1:
            put_half(header, r, ((const block_q4_1 *) row)[i].d);
            put_half(header + 32, r, ((const block_q4_1 *) row)[i].m);
            break;
        case SOTTO_Q5_1:
            put_half(header, r, ((const block_q5_1 *) row)[i].d);
            put_half(header + 32, r, ((const block_q5_1 *) row)[i].m);
            break;
        case SOTTO_Q4_K:
        case SOTTO_Q5_K: {
            const block_q4_K & q4 = ((const block_q4_K *) row)[kind == SOTTO_Q4_K ? i : 0];
            const block_q5_K & q5 = ((const block_q5_K *) row)[kind == SOTTO_Q5_K ? i : 0];
            put_half(header, r, kind == SOTTO_Q4_K ? q4.d : q5.d);
            put_half(header + 32, r, kind == SOTTO_Q4_K ? q4.dmin : q5.dmin);
            for (int b = 0; b < 8; b++) {
                scale_and_min(kind == SOTTO_Q4_K ? q4.scales : q5.scales, b, header + 64 + 16 * b + r, header + 192 + 16 * b + r);
            }
            break;
        }
        case SOTTO_Q6_K:
            put_half(header, r, ((const block_q6_K *) row)[i].d);
            for (int b = 0; b < 16; b++) {
                header[32 + 16 * b + r] = (uint8_t) ((const block_q6_K *) row)[i].scales[b];
            }
            break;
    }
}

}  // namespace

int sotto_kind_of(int type) {
    switch (type) {
        case GGML_TYPE_Q4_0:   return SOTTO_Q4_0;
        case GGML_TYPE_Q4_1:   return SOTTO_Q4_1;
        case GGML_TYPE_Q5_0:   return SOTTO_Q5_0;
        case GGML_TYPE_Q5_1:   return SOTTO_Q5_1;
        case GGML_TYPE_Q8_0:   return SOTTO_Q8_0;
        case GGML_TYPE_IQ4_NL: return SOTTO_IQ4_NL;
        case GGML_TYPE_Q4_K:   return SOTTO_Q4_K;
        case GGML_TYPE_Q5_K:   return SOTTO_Q5_K;
        case GGML_TYPE_Q6_K:   return SOTTO_Q6_K;
        default:               return -1;
    }
}

void sotto_pack_panel(int kind, const void * rows, size_t stride, int n_rows, int64_t columns, uint8_t * panel) {
    const sotto_traits T = sotto_traits_of(kind);
    if (n_rows < SOTTO_ROWS) {
        memset(panel, 0, sotto_panel_size(kind, columns));
    }
    for (int64_t i = 0; i < columns / 32; i++) {
        uint8_t * header = panel + (i / T.super) * (T.header + T.super * T.block);
        uint8_t * block  = header + T.header + (i % T.super) * T.block;
        for (int r = 0; r < n_rows; r++) {
            const void * row = (const char *) rows + stride * r;
            if (i % T.super == 0) {
                put_header(kind, row, i / T.super, r, header);
            }
            if (const uint8_t * four = nibbles(kind, row, i)) {
                for (int j = 0; j < 4; j++) {
                    memcpy(block + 64 * j + 4 * r, four + 4 * j, 4);
                }
                continue;
            }
            uint8_t q[32];
            numbers(kind, row, i, q);
            place(kind, q, r, block);
        }
    }
}
