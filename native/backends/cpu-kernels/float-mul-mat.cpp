#include "float-mul-mat.h"

#include <string.h>

#include <algorithm>

#include "cpu-isa.h"
#include "ggml-cpu-impl.h"
#include "team.h"

namespace {

constexpr int64_t CACHED = 512 << 10;  // bytes of weights that stay in the second cache while all tiles pass

// dst = w * x for every plane of x; planes of w are shared by as many of x as ggml broadcasts them to.
struct float_mul_mat {
    const ggml_tensor * w;  // [k, rows, planes...]
    const ggml_tensor * x;  // [k, n, planes...]
    const ggml_tensor * dst;

    explicit float_mul_mat(const ggml_tensor * op) : w(op->src[0]), x(op->src[1]), dst(op) {}

    int64_t k() const { return w->ne[0]; }
    int64_t n() const { return x->ne[1]; }
    int64_t planes() const { return x->ne[2] * x->ne[3]; }
    int64_t groups() const { return (w->ne[1] + SOTTO_FLOAT_ROWS - 1) / SOTTO_FLOAT_ROWS; }

    // Groups of rows that a thread takes at a time: a handful a thread evens out.
    int64_t chunk(int n_threads) const {
        const int64_t even = std::max<int64_t>(1, groups() * planes() / (n_threads * 8));
        const int64_t most = n() <= SOTTO_MAX_COLS ? groups() : std::max<int64_t>(1, CACHED / int64_t(SOTTO_FLOAT_ROWS * w->nb[1]));
        return std::min({ even, most, groups() });
    }

    bool ours() const {
        return sotto_float_kind(w) >= 0 && x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && dst->type == GGML_TYPE_F32 &&
               dst->nb[0] == sizeof(float) && ggml_get_op_params_i32(dst, 1) != GGML_HINT_SRC0_IS_HADAMARD;
    }

    void put(float * tiles, int64_t plane, int64_t c) const {
        const int64_t n_tiles = sotto_n_tiles(n()), tile = ((c + 1) * n_tiles - 1) / n();
        const int64_t begin = sotto_tile_begin(n(), tile), end = sotto_tile_begin(n(), tile + 1);
        const char * column = (const char *) x->data + c * x->nb[1] + plane % x->ne[2] * x->nb[2] + plane / x->ne[2] * x->nb[3];
        sotto_put_floats((const float *) column, k(), tiles + (plane * n() + begin) * k(), end - begin, c - begin);
    }

    void multiply(const float * tiles, int64_t plane, int64_t first, int64_t last, const sotto_kernels * use) const {
        const int64_t i2 = plane % x->ne[2], i3 = plane / x->ne[2];
        const uint8_t * from = (const uint8_t *) w->data + i2 / (x->ne[2] / w->ne[2]) * w->nb[2] + i3 / (x->ne[3] / w->ne[3]) * w->nb[3];
        float * to = (float *) ((char *) dst->data + i2 * dst->nb[2] + i3 * dst->nb[3]);
        const int64_t stride = int64_t(dst->nb[1] / sizeof(float));
        const sotto_float_tile_t * tile = use->float_tile[sotto_float_kind(w)];
        for (int64_t i = 0; i < sotto_n_tiles(n()); i++) {
            const int64_t begin = sotto_tile_begin(n(), i), columns = sotto_tile_begin(n(), i + 1) - begin;
            for (int64_t row = first * SOTTO_FLOAT_ROWS; row < std::min(w->ne[1], last * SOTTO_FLOAT_ROWS); row += SOTTO_FLOAT_ROWS) {
                tile[columns](from + row * w->nb[1], int64_t(w->nb[1]), k(), tiles + (plane * n() + begin) * k(), to + begin * stride + row,
                              stride, int(std::min<int64_t>(SOTTO_FLOAT_ROWS, w->ne[1] - row)));
            }
        }
    }
};

class float_mul_mat_traits : public ggml::cpu::tensor_traits {
    bool work_size(int /* n_threads */, const ggml_tensor * tensor, size_t & size) override {
        const float_mul_mat op(tensor);
        size = size_t(op.planes() * op.n() * op.k()) * sizeof(float) + 64;
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * tensor) override {
        const float_mul_mat op(tensor);
        const sotto_kernels * use = sotto_kernels_in_use();
        float * tiles = (float *) (((uintptr_t) params->wdata + 63) / 64 * 64);  // a load across two cache lines takes twice the time
        sotto_team team(params);
        team.each(op.n() * op.planes(), [&](int64_t i, int) { op.put(tiles, i / op.n(), i % op.n()); });
        const int64_t chunk = op.chunk(team.size()), chunks = (op.groups() + chunk - 1) / chunk;
        team.take(chunks * op.planes(), [&](int64_t i, int) {
            const int64_t first = i % chunks * chunk;
            op.multiply(tiles, i / chunks, first, std::min(op.groups(), first + chunk), use);
        });
        return true;
    }
};

}  // namespace

int sotto_float_kind(const ggml_tensor * w) {
    const int kind = w->type == GGML_TYPE_F16    ? SOTTO_F16
                     : w->type == GGML_TYPE_BF16 ? SOTTO_BF16
                     : w->type == GGML_TYPE_F32  ? SOTTO_F32
                                                 : -1;
    return kind >= 0 && w->ne[0] % SOTTO_FLOATS == 0 && w->nb[0] == ggml_type_size(w->type) ? kind : -1;
}

void sotto_put_floats(const float * x, int64_t k, float * tile, int64_t n, int64_t column) {
    for (int64_t i = 0; i < k; i += SOTTO_FLOATS) {
        memcpy(tile + i * n + column * SOTTO_FLOATS, x + i, SOTTO_FLOATS * sizeof(float));
    }
}

ggml::cpu::tensor_traits * sotto_float_mul_mat_traits(const ggml_tensor * op) {
    static float_mul_mat_traits * const instance = new float_mul_mat_traits;  // as long as the process, like ggml's own
    return sotto_kernels_in_use() && float_mul_mat(op).ours() ? instance : nullptr;
}
