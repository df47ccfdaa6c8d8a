#include "mul-mat-id.h"

#include <string.h>

#include <algorithm>

#include "cpu-isa.h"
#include "float-mul-mat.h"
#include "ggml-cpu-impl.h"
#include "packed.h"
#include "team.h"

namespace {

constexpr int GROUP = SOTTO_FLOAT_ROWS > SOTTO_ROWS ? int(SOTTO_FLOAT_ROWS) : int(SOTTO_ROWS);

// The operation by the names that ggml_mul_mat_id gives its parts. A row is a column of x for one expert: token, and which of the
// token's experts.
struct mul_mat_id {
    const ggml_tensor * w;    // [k, m, experts]
    const ggml_tensor * x;    // [k, 1 or used, tokens]
    const ggml_tensor * ids;  // [used, tokens]
    const ggml_tensor * dst;  // [m, used, tokens]
    bool packed;
    int kind;

    mul_mat_id(const ggml_tensor * op, bool is_packed)
        : w(op->src[0]), x(op->src[1]), ids(op->src[2]), dst(op), packed(is_packed),
          kind(is_packed ? sotto_packed_kind(op->src[0]) : sotto_float_kind(op->src[0])) {}

    int64_t k() const { return w->ne[0]; }
    int64_t experts() const { return w->ne[2]; }
    int64_t rows() const { return ids->ne[0] * ids->ne[1]; }
    int64_t group() const { return packed ? SOTTO_ROWS : SOTTO_FLOAT_ROWS; }
    int64_t groups() const { return (w->ne[1] + group() - 1) / group(); }
    size_t row_size() const { return ((packed ? sotto_acts_size(k(), 1) : size_t(k()) * sizeof(float)) + 63) / 64 * 64; }
    // What each thread notes: where an expert's rows begin, the rows in that order, and the experts that have any.
    size_t notes_size() const { return (size_t(2 * experts() + 1 + rows()) * sizeof(int32_t) + 63) / 64 * 64; }
    size_t work_size(int n_threads) const { return 64 + size_t(n_threads) * notes_size() + size_t(rows()) * row_size(); }

    bool ours() const {
        return kind >= 0 && w->ne[3] == 1 && x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->ne[3] == 1 &&
               ids->type == GGML_TYPE_I32 && dst->type == GGML_TYPE_F32 && dst->nb[0] == sizeof(float);
    }

    int32_t expert_of(int64_t row) const {
        const int64_t used = row % ids->ne[0], token = row / ids->ne[0];
        int32_t expert;
        memcpy(&expert, (const char *) ids->data + used * ids->nb[0] + token * ids->nb[1], sizeof(expert));
        GGML_ASSERT(expert >= 0 && expert < experts());
        return expert;
    }

    // A counting sort, which each of ggml's threads does: that is cheaper than to wait for one that does. How many experts have rows.
    int64_t sort(int32_t * begins, int32_t * sorted, int32_t * active) const {
        std::fill(begins, begins + experts() + 1, 0);
        for (int64_t row = 0; row < rows(); row++) {
            begins[expert_of(row) + 1]++;
        }
        for (int64_t e = 0; e < experts(); e++) {
            begins[e + 1] += begins[e];
        }
        for (int64_t row = 0; row < rows(); row++) {
            sorted[begins[expert_of(row)]++] = int32_t(row);
        }
        for (int64_t e = experts(); e > 0; e--) {  // each begin has moved to its end
            begins[e] = begins[e - 1];
        }
        begins[0] = 0;
        int64_t n = 0;
        for (int64_t e = 0; e < experts(); e++) {
            if (begins[e] < begins[e + 1]) {
                active[n++] = int32_t(e);
            }
        }
        return n;
    }

    const float * column(int64_t row) const {
        const int64_t used = row % ids->ne[0], token = row / ids->ne[0];
        return (const float *) ((const char *) x->data + used % x->ne[1] * x->nb[1] + token * x->nb[2]);
    }

    float * result(int64_t row) const {
        const int64_t used = row % ids->ne[0], token = row / ids->ne[0];
        return (float *) ((char *) dst->data + used * dst->nb[1] + token * dst->nb[2]);
    }
};

// Rows of one expert, ready for its weights: the tiles of expert e begin at its first row's place.
struct tiles {
    const mul_mat_id & op;
    const sotto_kernels * use;
    char * memory;
    const int32_t * begins;
    const int32_t * sorted;

    void put(int32_t expert, int64_t at) const {
        const int64_t first = begins[expert], n = begins[expert + 1] - first, n_tiles = sotto_n_tiles(n), c = at - first;
        GGML_ASSERT(n > 0);
        const int64_t tile = ((c + 1) * n_tiles - 1) / n;
        const int64_t begin = sotto_tile_begin(n, tile), columns = sotto_tile_begin(n, tile + 1) - begin;
        void * to = memory + size_t(first + begin) * op.row_size();
        if (op.packed) {
            use->quantize(op.column(sorted[at]), op.k(), op.kind, to, columns, c - begin);
        } else {
            sotto_put_floats(op.column(sorted[at]), op.k(), (float *) to, columns, c - begin);
        }
    }

    // The groups first_group .. last_group - 1 of an expert's weights with all its rows.
    void multiply(int32_t expert, int64_t first_group, int64_t last_group) const {
        const int64_t first = begins[expert], n = begins[expert + 1] - first;
        float some[SOTTO_MAX_COLS * GROUP];
        for (int64_t tile = 0; tile < sotto_n_tiles(n); tile++) {
            const int64_t begin = first + sotto_tile_begin(n, tile), columns = first + sotto_tile_begin(n, tile + 1) - begin;
            char * acts = memory + size_t(begin) * op.row_size();
            for (int64_t g = first_group; g < last_group; g++) {
                const int64_t row = g * op.group();
                const int count = int(std::min(op.group(), op.w->ne[1] - row));
                if (op.packed) {
                    const size_t panel_size = sotto_panel_size(op.kind, op.k());
                    const sotto_acts quantised = sotto_acts_at(acts, op.k(), columns);
                    const uint8_t * panel = (const uint8_t *) op.w->data + size_t(expert * op.groups() + g) * panel_size;
                    use->tile[op.kind][columns](panel, op.k(), &quantised, some, GROUP, count);
                } else {
                    const uint8_t * rows = (const uint8_t *) op.w->data + size_t(expert) * op.w->nb[2] + size_t(row) * op.w->nb[1];
                    use->float_tile[op.kind][columns](rows, int64_t(op.w->nb[1]), op.k(), (const float *) acts, some, GROUP, count);
                }
                for (int64_t c = 0; c < columns; c++) {
                    memcpy(op.result(sorted[begin + c]) + row, some + c * GROUP, size_t(count) * sizeof(float));
                }
            }
        }
    }
};

class mul_mat_id_traits : public ggml::cpu::tensor_traits {
    const bool packed;

    bool work_size(int n_threads, const ggml_tensor * tensor, size_t & size) override {
        size = mul_mat_id(tensor, packed).work_size(n_threads);  // of a crew, one notes for all
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * tensor) override {
        const mul_mat_id op(tensor, packed);
        char * memory = (char *) (((uintptr_t) params->wdata + 63) / 64 * 64);
        int32_t * begins = (int32_t *) (memory + size_t(params->ith) * op.notes_size());
        int32_t * sorted = begins + op.experts() + 1;
        int32_t * active = sorted + op.rows();
        const int64_t n_active = op.sort(begins, sorted, active);
        const tiles all = { op, sotto_kernels_in_use(), memory + size_t(params->nth) * op.notes_size(), begins, sorted };
        sotto_team team(params);
        team.each(op.rows(), [&](int64_t at, int) { all.put(op.expert_of(sorted[at]), at); });
        // As many chunks an expert as give each thread a handful; experts without rows have none.
        const int64_t chunk = std::max<int64_t>(1, n_active * op.groups() / (team.size() * 8));
        const int64_t chunks = (op.groups() + chunk - 1) / chunk;
        team.take(n_active * chunks, [&](int64_t at, int) {
            const int64_t first = at % chunks * chunk;
            all.multiply(active[at / chunks], first, std::min(op.groups(), first + chunk));
        });
        return true;
    }

  public:
    explicit mul_mat_id_traits(bool is_packed) : packed(is_packed) {}
};

}  // namespace

bool sotto_mul_mat_id_packs(const ggml_tensor * op) { return mul_mat_id(op, true).ours(); }

ggml::cpu::tensor_traits * sotto_mul_mat_id_traits(const ggml_tensor * op, bool packed) {
    // As long as the process, like ggml's own.
    static mul_mat_id_traits * const instances[] = { new mul_mat_id_traits(false), new mul_mat_id_traits(true) };
    return sotto_kernels_in_use() && mul_mat_id(op, packed).ours() ? instances[packed] : nullptr;
}
