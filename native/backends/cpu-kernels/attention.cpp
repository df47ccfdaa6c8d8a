#include "attention.h"

#include <math.h>
#include <string.h>

#include <algorithm>

#include "cpu-isa.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"

namespace {

constexpr int64_t BLOCK = 128;              // cells that a thread scores at a time
constexpr size_t  MOST_SCORES = 64u << 20;  // bytes

// The parts of the operation, by the names that ggml_flash_attn_ext gives them.
struct attention {
    const ggml_tensor * q;      // [d_k, rows, heads]
    const ggml_tensor * k;      // [d_k, cells, heads_kv]
    const ggml_tensor * v;      // [d_v, cells, heads_kv]
    const ggml_tensor * mask;   // [cells, rows] or null
    const ggml_tensor * sinks;  // [heads] or null
    float scale, max_bias, softcap;

    explicit attention(const ggml_tensor * op) : q(op->src[0]), k(op->src[1]), v(op->src[2]), mask(op->src[3]), sinks(op->src[4]) {
        memcpy(&scale, op->op_params + 0, sizeof(float));
        memcpy(&max_bias, op->op_params + 1, sizeof(float));
        memcpy(&softcap, op->op_params + 2, sizeof(float));
    }

    int64_t rows() const { return q->ne[1]; }
    int64_t heads() const { return q->ne[2]; }
    int64_t heads_kv() const { return k->ne[2]; }
    int64_t cells() const { return k->ne[1]; }
    int64_t blocks() const { return (cells() + BLOCK - 1) / BLOCK; }
    int64_t shared() const { return heads() / heads_kv(); }  // query heads of a KV head
    int64_t groups() const { return (shared() + SOTTO_MAX_QUERIES - 1) / SOTTO_MAX_QUERIES; }

    // In the work buffer: scores [row][head][cells], then the largest score [row][head][block].
    int64_t stride() const { return (cells() + 15) / 16 * 16; }
    size_t size() const { return size_t(rows() * heads() * (stride() + blocks())) * sizeof(float); }

    // ALiBi (arXiv 2108.12409), as ggml counts heads.
    float slope(int64_t head) const {
        if (max_bias <= 0) {
            return 1;
        }
        const int64_t power = int64_t(1) << int(floor(log2(double(heads()))));
        return head < power ? powf(powf(2, -max_bias / float(power)), float(head + 1))
                            : powf(powf(2, -max_bias / 2 / float(power)), float(2 * (head - power) + 1));
    }

    // Ggml tiles 64 rows and more itself.
    bool ours(const sotto_kernels * use) const {
        return rows() < 64 && softcap == 0 && q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
               q->ne[3] == 1 && k->ne[3] == 1 && v->ne[3] == 1 && v->ne[2] == heads_kv() && heads() % heads_kv() == 0 &&
               q->nb[0] == sizeof(float) && k->nb[0] == sizeof(uint16_t) && v->nb[0] == sizeof(uint16_t) &&
               k->ne[0] % use->lanes == 0 && v->ne[0] % use->lanes == 0 && size() <= MOST_SCORES &&
               (!mask || (mask->type == GGML_TYPE_F16 && mask->nb[0] == sizeof(uint16_t) && mask->ne[2] == 1 && mask->ne[3] == 1));
    }
};

class attention_traits : public ggml::cpu::tensor_traits {
    bool work_size(int /* n_threads */, const ggml_tensor * op, size_t & size) override {
        size = attention(op).size();
        return true;
    }

    // The queries `group` of a row and a KV head, and how many they are.
    static int queries(const attention & a, const ggml_tensor * op, char * memory, int64_t row, int64_t head_kv, int64_t group,
                       sotto_attention & out) {
        const int64_t first = head_kv * a.shared() + group * SOTTO_MAX_QUERIES;
        const int n = int(std::min<int64_t>(SOTTO_MAX_QUERIES, a.shared() - group * SOTTO_MAX_QUERIES));
        for (int i = 0; i < n; i++) {
            const int64_t head = first + i;
            out.q[i]      = (const float *) ((const char *) a.q->data + row * a.q->nb[1] + head * a.q->nb[2]);
            out.scores[i] = (float *) memory + (row * a.heads() + head) * a.stride();
            out.dst[i]    = (float *) ((char *) op->data + (row * op->ne[1] + head) * op->nb[1]);
            out.slope[i]  = a.slope(head);
        }
        out.k        = (const uint8_t *) a.k->data + head_kv * a.k->nb[2];
        out.v        = (const uint8_t *) a.v->data + head_kv * a.v->nb[2];
        out.k_stride = int64_t(a.k->nb[1]);
        out.v_stride = int64_t(a.v->nb[1]);
        out.mask     = a.mask ? (const uint16_t *) ((const char *) a.mask->data + row * a.mask->nb[1]) : nullptr;
        out.n_cells  = a.cells();
        out.d_k      = a.k->ne[0];
        out.scale    = a.scale;
        return n;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        const attention a(op);
        const sotto_kernels * use = sotto_kernels_in_use();
        char * memory = (char *) params->wdata;
        float * most = (float *) memory + a.rows() * a.heads() * a.stride();
        sotto_attention part;

        const int64_t n_groups = a.heads_kv() * a.groups(), n_blocks = a.blocks();
        for (int64_t i = params->ith; i < a.rows() * n_groups * n_blocks; i += params->nth) {
            const int64_t block = i % n_blocks, group = i / n_blocks % n_groups, row = i / n_blocks / n_groups;
            const int64_t head_kv = group / a.groups(), first = head_kv * a.shared() + group % a.groups() * SOTTO_MAX_QUERIES;
            const int n = queries(a, op, memory, row, head_kv, group % a.groups(), part);
            float largest[SOTTO_MAX_QUERIES];
            use->scores[n](&part, block * BLOCK, std::min(a.cells(), (block + 1) * BLOCK), largest);
            for (int q = 0; q < n; q++) {
                most[(row * a.heads() + first + q) * n_blocks + block] = largest[q];
            }
        }
        ggml_barrier(params->threadpool);

        const int64_t width = 2 * use->lanes, n_slices = (a.v->ne[0] + width - 1) / width;
        for (int64_t i = params->ith; i < a.rows() * n_groups * n_slices; i += params->nth) {
            const int64_t slice = i % n_slices, group = i / n_slices % n_groups, row = i / n_slices / n_groups;
            const int64_t head_kv = group / a.groups(), first = head_kv * a.shared() + group % a.groups() * SOTTO_MAX_QUERIES;
            const int n = queries(a, op, memory, row, head_kv, group % a.groups(), part);
            float largest[SOTTO_MAX_QUERIES], sum[SOTTO_MAX_QUERIES];
            for (int q = 0; q < n; q++) {
                const float * blocks = most + (row * a.heads() + first + q) * n_blocks;
                largest[q] = *std::max_element(blocks, blocks + n_blocks);
                sum[q] = 0;
                if (a.sinks) {  // a score that has no value
                    const float sink = ((const float *) a.sinks->data)[first + q];
                    largest[q] = std::max(largest[q], sink);
                    sum[q] = expf(sink - largest[q]);
                }
            }
            use->values[n][slice * width + width <= a.v->ne[0]](&part, slice * width, largest, sum);
        }
        return true;
    }
};

}  // namespace

ggml::cpu::tensor_traits * sotto_attention_traits(const ggml_tensor * op) {
    static attention_traits * const instance = new attention_traits;  // as long as the process, like ggml's own
    const sotto_kernels * use = sotto_kernels_in_use();
    return use && attention(op).ours(use) ? instance : nullptr;
}
