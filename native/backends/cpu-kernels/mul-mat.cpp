#include "mul-mat.h"

#include <algorithm>

#include "cpu-isa.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"
#include "packed.h"
#include "team.h"

namespace {

// Bytes of weights that a thread takes at a time, for a few columns: less costs more to take than to multiply with, more is too much to
// wait for when a thread is put aside.
constexpr size_t LEAST = 32 << 10, MOST = 1 << 20;

// Before the quantised input in the work buffer: what a rotation, which stands between Q and the others, writes there.
constexpr size_t ROTATION = 64 << 10;

// The input that the work buffer will hold, while this thread plans a graph: all operations in order, before any is computed.
struct planned {
    const ggml_tensor * x;
    int kind, n_threads;
};
thread_local planned held = {};

// dst = w * x: the team quantises the activations together, then takes panels until none is left.
class mul_mat_traits : public ggml::cpu::tensor_traits {
    // How the columns are cut into tiles, and how the tiles lie in the work buffer.
    struct cut {
        int64_t n, wide, n_tiles;  // wide: columns of a tile, where they are; else 0
        size_t  stride;
        cut(const ggml_tensor * x, int kind, const sotto_kernels * use)
            : n(x->ne[1]), wide(n > use->wide_above[kind == SOTTO_Q8_0] ? use->wide_columns : 0) {
            n_tiles = wide ? (n + wide - 1) / wide : sotto_n_tiles(n);
            const int64_t most = std::min<int64_t>(n, wide ? wide : SOTTO_MAX_COLS);
            stride = (sotto_acts_size(x->ne[0], most) + 63) / 64 * 64;
        }
        int64_t begin(int64_t tile) const { return wide ? std::min(n, tile * wide) : sotto_tile_begin(n, tile); }
        int64_t columns(int64_t tile) const { return begin(tile + 1) - begin(tile); }
        int64_t tile_of(int64_t column) const { return wide ? column / wide : ((column + 1) * n_tiles - 1) / n; }
    };

    bool work_size(int n_threads, const ggml_tensor * op, size_t & size) override {
        const ggml_tensor * x = op->src[1];
        const int kind = sotto_packed_kind(op->src[0]);
        const cut to(x, kind, sotto_kernels_in_use());
        size = ROTATION + size_t(to.n_tiles) * to.stride + SOTTO_WIDE_SLACK;
        // Nobody else reads the node yet.
        const_cast<ggml_tensor *>(op)->op_params[SOTTO_SHARES_INPUT] = held.x == x && held.kind == kind;
        held = { x->ne[2] * x->ne[3] == 1 ? x : nullptr, kind, n_threads };
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        const ggml_tensor * w = op->src[0];
        const ggml_tensor * x = op->src[1];
        const int kind = sotto_packed_kind(w);
        const int64_t k = w->ne[0], n = x->ne[1], n_rows = w->ne[1];
        const size_t panel_size = sotto_panel_size(kind, k);
        const int64_t n_panels = sotto_panels(w);
        const sotto_kernels * use = sotto_kernels_in_use();
        const cut to(x, kind, use);
        const int64_t dst_stride = int64_t(op->nb[1] / sizeof(float));
        char * memory = (char *) params->wdata + ROTATION;
        const bool shares = op->op_params[SOTTO_SHARES_INPUT];
        if (params->ith == 0) {
            held = {};  // planning is over: the next graph's buffer holds nothing
        }

        sotto_team team(params);

        for (int64_t i2 = 0; i2 < x->ne[2] * x->ne[3]; i2++) {
            const char * x_plane = (const char *) x->data + (i2 % x->ne[2]) * x->nb[2] + (i2 / x->ne[2]) * x->nb[3];
            float * dst_plane = (float *) ((char *) op->data + (i2 % op->ne[2]) * op->nb[2] + (i2 / op->ne[2]) * op->nb[3]);
            if (i2 > 0) {
                team.wait();  // the tiles of the plane before are still being read
            }
            // Whole tiles: columns of one lie in the same cache lines, which two threads would take from each other.
            const bool whole = to.n_tiles >= team.size();
            team.each(shares ? 0 : whole ? to.n_tiles : n, [&](int64_t i, int) {
                const int64_t tile = whole ? i : to.tile_of(i);
                for (int64_t c = whole ? to.begin(tile) : i, last = whole ? to.begin(tile + 1) : i + 1; c < last; c++) {
                    use->quantize((const float *) (x_plane + c * x->nb[1]), k, kind, memory + tile * to.stride, to.columns(tile),
                                  c - to.begin(tile));
                }
            });
            // A handful of chunks a thread: few enough to cost nothing, enough to even out. Wide ones take two panels at a time.
            const int64_t least = to.wide ? 2 : 1, step = to.wide ? SOTTO_WIDE_MOST / to.wide : 1;
            int64_t chunk = std::max<int64_t>(least, n_panels / (team.size() * (to.wide ? 16 : 8)) / least * least);
            if (to.n_tiles == 1) {
                const int64_t lower = std::min<int64_t>(LEAST / panel_size, n_panels / team.size());
                chunk = std::max<int64_t>({ 1, lower, std::min<int64_t>(chunk, MOST / panel_size) });
                chunk = (chunk + least - 1) / least * least;
            }
            team.take((n_panels + chunk - 1) / chunk, [&](int64_t at, int) {
                const int64_t last = std::min(n_panels, (at + 1) * chunk);
                for (int64_t tile = 0; tile < to.n_tiles; tile += step) {
                    const int64_t n_acts = std::min(step, to.n_tiles - tile), begin = to.begin(tile);
                    sotto_acts acts[SOTTO_WIDE_MOST];
                    for (int64_t i = 0; i < n_acts; i++) {
                        acts[i] = sotto_acts_at(memory + (tile + i) * to.stride, k, to.columns(tile + i));
                    }
                    for (int64_t p = at * chunk; p < last; p += least) {
                        const int rows = int(std::min<int64_t>(SOTTO_ROWS * least, n_rows - p * SOTTO_ROWS));
                        const uint8_t * panel = (const uint8_t *) w->data + p * panel_size;
                        float * dst = dst_plane + begin * dst_stride + p * SOTTO_ROWS;
                        if (to.wide) {
                            use->wide_tile[kind](panel, k, acts, to.begin(tile + n_acts) - begin, dst, dst_stride, rows);
                        } else {
                            use->tile[kind][to.columns(tile)](panel, k, acts, dst, dst_stride, rows);
                        }
                    }
                }
            });
        }
        return true;
    }
};

}  // namespace

ggml::cpu::tensor_traits * sotto_mul_mat_traits() {
    static mul_mat_traits * const instance = new mul_mat_traits;  // as long as the process, like ggml's own
    return instance;
}

void sotto_mul_mat_passed(const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_NONE: case GGML_OP_RESHAPE: case GGML_OP_VIEW: case GGML_OP_PERMUTE: case GGML_OP_TRANSPOSE: return;
        case GGML_OP_ROPE:
            if (held.x && op->data != held.x->data &&
                size_t(held.n_threads) * (size_t(op->ne[0]) * sizeof(float) + 256) <= ROTATION) {
                return;
            }
            break;
        default: break;
    }
    held = {};
}
