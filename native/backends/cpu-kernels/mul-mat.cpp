#include "mul-mat.h"

#include <algorithm>

#include "cpu-isa.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"
#include "packed.h"

namespace {

// dst = w * x: ggml's threads quantise the activations together, then take panels from a shared counter until none is left, so
// that a thread which the system puts aside delays one chunk only.
class mul_mat_traits : public ggml::cpu::tensor_traits {
    static size_t tiles_size(const ggml_tensor * op) {
        const int64_t n = op->src[1]->ne[1];
        const int64_t most = std::min<int64_t>(n, SOTTO_MAX_COLS);
        return size_t(sotto_n_tiles(n)) * tile_stride(op->src[1]->ne[0], most);
    }
    static size_t tile_stride(int64_t k, int64_t n) { return (sotto_acts_size(k, n) + 63) / 64 * 64; }

    bool work_size(int /* n_threads */, const ggml_tensor * op, size_t & size) override {
        size = tiles_size(op);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        const ggml_tensor * w = op->src[0];
        const ggml_tensor * x = op->src[1];
        const int kind = sotto_packed_kind(w);
        const int64_t k = w->ne[0], n = x->ne[1], n_rows = w->ne[1];
        const int64_t n_tiles = sotto_n_tiles(n);
        const size_t stride = tile_stride(k, std::min<int64_t>(n, SOTTO_MAX_COLS));
        const size_t panel_size = sotto_panel_size(kind, k);
        const int64_t n_panels = sotto_panels(w);
        const sotto_kernels * use = sotto_kernels_in_use();
        char * memory = (char *) params->wdata;

        for (int64_t i2 = 0; i2 < x->ne[2] * x->ne[3]; i2++) {
            const char * x_plane = (const char *) x->data + (i2 % x->ne[2]) * x->nb[2] + (i2 / x->ne[2]) * x->nb[3];
            float * dst_plane = (float *) ((char *) op->data + (i2 % op->ne[2]) * op->nb[2] + (i2 / op->ne[2]) * op->nb[3]);
            if (i2 > 0) {
                ggml_barrier(params->threadpool);  // the tiles of the plane before are still being read
            }
            for (int64_t c = params->ith; c < n; c += params->nth) {
                const int64_t tile = ((c + 1) * n_tiles - 1) / n;
                const int64_t begin = sotto_tile_begin(n, tile), end = sotto_tile_begin(n, tile + 1);
                use->quantize((const float *) (x_plane + c * x->nb[1]), k, kind, memory + tile * stride, end - begin, c - begin);
            }
            // A handful of chunks a thread: few enough to cost nothing, enough to even out.
            const int64_t chunk = std::max<int64_t>(1, n_panels / (params->nth * 8));
            if (params->ith == 0) {
                ggml_threadpool_chunk_set(params->threadpool, params->nth);
            }
            ggml_barrier(params->threadpool);
            for (int64_t at = params->ith; at * chunk < n_panels; at = ggml_threadpool_chunk_add(params->threadpool, 1)) {
                const int64_t last = std::min(n_panels, (at + 1) * chunk);
                for (int64_t tile = 0; tile < n_tiles; tile++) {
                    const int64_t begin = sotto_tile_begin(n, tile), columns = sotto_tile_begin(n, tile + 1) - begin;
                    const sotto_acts acts = sotto_acts_at(memory + tile * stride, k, columns);
                    for (int64_t p = at * chunk; p < last; p++) {
                        const int rows = int(std::min<int64_t>(SOTTO_ROWS, n_rows - p * SOTTO_ROWS));
                        use->tile[kind][columns]((const uint8_t *) w->data + p * panel_size, k, &acts,
                                                 dst_plane + begin * (op->nb[1] / sizeof(float)) + p * SOTTO_ROWS,
                                                 int64_t(op->nb[1] / sizeof(float)), rows);
                    }
                }
            }
        }
        return true;
    }
};

}  // namespace

ggml::cpu::tensor_traits * sotto_mul_mat_traits() {
    static mul_mat_traits * const instance = new mul_mat_traits;  // as long as the process, like ggml's own
    return instance;
}
