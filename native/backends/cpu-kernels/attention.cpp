#include "attention.h"

#include <math.h>
#include <string.h>

#include <algorithm>

#include "cpu-isa.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"

namespace {

constexpr int64_t BLOCK = 128;  // cells that a thread scores at a time
constexpr int64_t FEW = 64;     // units of work, of which not every thread would get enough: each is split

// The operation by the names that ggml_flash_attn_ext gives its parts, and how its work is cut: a unit is the queries of one row
// that share a KV head, SOTTO_MAX_QUERIES at most.
struct attention {
    const ggml_tensor * q;      // [d_k, rows, heads]
    const ggml_tensor * k;      // [d_k, cells, heads_kv]
    const ggml_tensor * v;      // [d_v, cells, heads_kv]
    const ggml_tensor * mask;   // [cells, rows] or null
    const ggml_tensor * sinks;  // [heads] or null
    ggml_tensor * dst;          // [d_v, heads, rows]
    float scale, max_bias, softcap;

    explicit attention(const ggml_tensor * op)
        : q(op->src[0]), k(op->src[1]), v(op->src[2]), mask(op->src[3]), sinks(op->src[4]), dst(const_cast<ggml_tensor *>(op)) {
        memcpy(&scale, op->op_params + 0, sizeof(float));
        memcpy(&max_bias, op->op_params + 1, sizeof(float));
        memcpy(&softcap, op->op_params + 2, sizeof(float));
    }

    int64_t rows() const { return q->ne[1]; }
    int64_t heads() const { return q->ne[2]; }
    int64_t heads_kv() const { return k->ne[2]; }
    int64_t cells() const { return k->ne[1]; }
    int64_t shared() const { return heads() / heads_kv(); }  // query heads of a KV head
    int64_t groups() const { return (shared() + SOTTO_MAX_QUERIES - 1) / SOTTO_MAX_QUERIES; }
    int64_t units() const { return heads_kv() * groups() * rows(); }
    int64_t blocks() const { return (cells() + BLOCK - 1) / BLOCK; }
    bool split() const { return units() < FEW; }

    // In floats: the scores of one unit, and behind them, where units are split, the largest score of each block.
    int64_t scores_size() const { return (cells() + 15) / 16 * 16 * SOTTO_MAX_QUERIES; }
    int64_t unit_size() const { return scores_size() + blocks() * SOTTO_MAX_QUERIES; }

    // ALiBi (arXiv 2108.12409), as ggml counts heads.
    float slope(int64_t head) const {
        if (max_bias <= 0) {
            return 1;
        }
        const int64_t power = int64_t(1) << int(floor(log2(double(heads()))));
        return head < power ? powf(powf(2, -max_bias / float(power)), float(head + 1))
                            : powf(powf(2, -max_bias / 2 / float(power)), float(2 * (head - power) + 1));
    }

    bool ours(const sotto_kernels * use) const {
        return softcap == 0 && q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
               q->ne[3] == 1 && k->ne[3] == 1 && v->ne[3] == 1 && v->ne[2] == heads_kv() && heads() % heads_kv() == 0 &&
               q->nb[0] == sizeof(float) && k->nb[0] == sizeof(uint16_t) && v->nb[0] == sizeof(uint16_t) &&
               k->ne[0] % use->lanes == 0 && v->ne[0] % use->lanes == 0 &&
               (!mask || (mask->type == GGML_TYPE_F16 && mask->nb[0] == sizeof(uint16_t) && mask->ne[2] == 1 && mask->ne[3] == 1));
    }
};

// A unit, ready for the kernels. Rows are next to each other: they read the same keys and values.
struct unit {
    sotto_attention a;
    int n;  // queries
    int64_t first;  // of their heads
    const sotto_kernels * use;
    const attention * op;

    unit(const attention & whole, int64_t index, float * scores, const sotto_kernels * kernels) : use(kernels), op(&whole) {
        const int64_t row = index % whole.rows(), group = index / whole.rows() % whole.groups();
        const int64_t head_kv = index / whole.rows() / whole.groups();
        first = head_kv * whole.shared() + group * SOTTO_MAX_QUERIES;
        n = int(std::min<int64_t>(SOTTO_MAX_QUERIES, whole.shared() - group * SOTTO_MAX_QUERIES));
        a = {};
        for (int i = 0; i < n; i++) {
            a.q[i]     = (const float *) ((const char *) whole.q->data + row * whole.q->nb[1] + (first + i) * whole.q->nb[2]);
            a.dst[i]   = (float *) ((char *) whole.dst->data + (first + i) * whole.dst->nb[1] + row * whole.dst->nb[2]);
            a.slope[i] = whole.slope(first + i);
        }
        a.scores   = scores;
        a.k        = (const uint8_t *) whole.k->data + head_kv * whole.k->nb[2];
        a.v        = (const uint8_t *) whole.v->data + head_kv * whole.v->nb[2];
        a.k_stride = int64_t(whole.k->nb[1]);
        a.v_stride = int64_t(whole.v->nb[1]);
        a.mask     = whole.mask ? (const uint16_t *) ((const char *) whole.mask->data + row * whole.mask->nb[1]) : nullptr;
        a.n_cells  = whole.cells();
        a.d_k      = whole.k->ne[0];
        a.scale    = whole.scale;
    }

    void score(int64_t begin, int64_t end, float * most) const { use->scores[n - 1](&a, begin, std::min(end, a.n_cells), most); }

    // Outputs d .. end - 1, `step` vectors at a time.
    void add_values(int64_t d, int64_t end, int step, float * most) const {
        float sum[SOTTO_MAX_QUERIES] = { 0, 0, 0, 0 };
        for (int i = 0; i < n && op->sinks; i++) {  // a score that has no value
            const float sink = ((const float *) op->sinks->data)[first + i];
            most[i] = std::max(most[i], sink);
            sum[i] = expf(sink - most[i]);
        }
        while (d < end) {
            const int64_t width = std::min<int64_t>(step, (end - d) / use->lanes);
            use->values[n - 1][width - 1](&a, d, most, sum);
            d += width * use->lanes;
        }
    }
};

class attention_traits : public ggml::cpu::tensor_traits {
    bool work_size(int n_threads, const ggml_tensor * tensor, size_t & size) override {
        const attention op(tensor);
        size = size_t(op.split() ? op.units() : n_threads) * size_t(op.unit_size()) * sizeof(float);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * tensor) override {
        const attention op(tensor);
        const sotto_kernels * use = sotto_kernels_in_use();
        if (op.split()) {
            in_parts(params, op, use);
        } else {
            in_units(params, op, use);
        }
        return true;
    }

    // Many rows: each unit by one thread, from a shared counter, since those that see more cells take longer.
    static void in_units(ggml_compute_params * params, const attention & op, const sotto_kernels * use) {
        constexpr int64_t CHUNK = 4;
        float * scores = (float *) params->wdata + params->ith * op.unit_size();
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);
        for (int64_t chunk = params->ith; chunk * CHUNK < op.units(); chunk = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            for (int64_t i = chunk * CHUNK; i < std::min(op.units(), (chunk + 1) * CHUNK); i++) {
                const unit part(op, i, scores, use);
                float most[SOTTO_MAX_QUERIES];
                part.score(0, op.cells(), most);
                part.add_values(0, op.v->ne[0], 4, most);
            }
        }
    }

    // One row or a few: threads share the cells of a unit, then its outputs.
    static void in_parts(ggml_compute_params * params, const attention & op, const sotto_kernels * use) {
        const int64_t n_blocks = op.blocks();
        for (int64_t i = params->ith; i < op.units() * n_blocks; i += params->nth) {
            float * scores = (float *) params->wdata + i / n_blocks * op.unit_size();
            const int64_t block = i % n_blocks;
            unit(op, i / n_blocks, scores, use)
                .score(block * BLOCK, (block + 1) * BLOCK, scores + op.scores_size() + block * SOTTO_MAX_QUERIES);
        }
        ggml_barrier(params->threadpool);
        const int64_t slice = 2 * use->lanes, n_slices = (op.v->ne[0] + slice - 1) / slice;
        for (int64_t i = params->ith; i < op.units() * n_slices; i += params->nth) {
            float * scores = (float *) params->wdata + i / n_slices * op.unit_size();
            const float * blocks = scores + op.scores_size();
            float most[SOTTO_MAX_QUERIES];
            for (int q = 0; q < SOTTO_MAX_QUERIES; q++) {
                most[q] = blocks[q];
                for (int64_t block = 1; block < n_blocks; block++) {
                    most[q] = std::max(most[q], blocks[block * SOTTO_MAX_QUERIES + q]);
                }
            }
            const int64_t d = i % n_slices * slice;
            unit(op, i / n_slices, scores, use).add_values(d, std::min(d + slice, op.v->ne[0]), 2, most);
        }
    }
};

}  // namespace

ggml::cpu::tensor_traits * sotto_attention_traits(const ggml_tensor * op) {
    static attention_traits * const instance = new attention_traits;  // as long as the process, like ggml's own
    const sotto_kernels * use = sotto_kernels_in_use();
    return use && attention(op).ours(use) ? instance : nullptr;
}
