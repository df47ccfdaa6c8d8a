#include "cpu-kernels.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "attention.h"
#include "cpu-isa.h"
#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"
#include "pack.h"
#include "traits.h"

#ifdef __linux__
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

int64_t panels(const ggml_tensor * w) { return (w->ne[1] + SOTTO_ROWS - 1) / SOTTO_ROWS; }

// Wants whole blocks along the columns, and rows that a panel can hold.
int packed_kind(const ggml_tensor * w) {
    const int kind = sotto_kind_of(w->type);
    if (kind < 0 || w->ne[0] % (32 * sotto_traits_of(kind).super) != 0 || w->ne[3] != 1) {
        return -1;
    }
    return kind;
}

size_t packed_size(const ggml_tensor * w, int kind) { return size_t(panels(w)) * sotto_panel_size(kind, w->ne[0]); }


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
        const int kind = packed_kind(w);
        const int64_t k = w->ne[0], n = x->ne[1], n_rows = w->ne[1];
        const int64_t n_tiles = sotto_n_tiles(n);
        const size_t stride = tile_stride(k, std::min<int64_t>(n, SOTTO_MAX_COLS));
        const size_t panel_size = sotto_panel_size(kind, k);
        const int64_t n_panels = panels(w);
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

mul_mat_traits * traits() {
    static mul_mat_traits * const instance = new mul_mat_traits;  // as long as the process, like ggml's own
    return instance;
}

class kernels_buffer_type : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        return op->op == GGML_OP_MUL_MAT && is_ours(op->src[0]) && ggml_n_dims(op->src[0]) == 2 && packed_kind(op->src[0]) >= 0 &&
               op->src[1]->type == GGML_TYPE_F32 && op->src[1]->nb[0] == sizeof(float) &&
               (!op->src[1]->buffer || ggml_backend_buft_is_host(op->src[1]->buffer->buft));
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        if (op->op == GGML_OP_FLASH_ATTN_EXT) {
            return sotto_attention_traits(op);  // ggml asks for every operation, wherever its tensors lie
        }
        return op->op == GGML_OP_MUL_MAT && is_ours(op->src[0]) ? traits() : nullptr;
    }

    static bool is_ours(const ggml_tensor * w) {
        return w->buffer && w->buffer->buft == ggml_backend_cpu_kernels_buffer_type();
    }
};

#ifdef __linux__
// What has been packed is not read again. If it came from a mapped file, its pages need not count in our memory any longer; if somebody
// does read them, they come back from the page cache. Memory that is no file, or was written to,
// would lose its contents, so the system is asked what it is.
void drop_if_mapped(const void * data, size_t size) {
    const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
    const uintptr_t begin = ((uintptr_t) data + page - 1) & ~(page - 1), end = ((uintptr_t) data + size) & ~(page - 1);
    if (begin >= end) {
        return;
    }
    FILE * maps = fopen("/proc/self/maps", "re");
    if (!maps) {
        return;
    }
    char line[512];
    bool at_line_start = true;
    while (fgets(line, sizeof(line), maps)) {
        const bool whole = strchr(line, '\n') != nullptr;
        unsigned long long from, to, inode;
        char rights[8];
        if (at_line_start && sscanf(line, "%llx-%llx %7s %*s %*s %llu", &from, &to, rights, &inode) == 4 && from <= begin && end <= to) {
            if (inode != 0 && rights[1] != 'w') {
                madvise((void *) begin, end - begin, MADV_DONTNEED);
            }
            break;
        }
        at_line_start = whole;
    }
    fclose(maps);
}
#endif

// Packing is bound by memory: as many threads as share its bandwidth.
void set_tensor(ggml_backend_buffer_t, ggml_tensor * tensor, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor));
    const int kind = packed_kind(tensor);
    const size_t row_size = ggml_row_size(tensor->type, tensor->ne[0]);
    const size_t panel_size = sotto_panel_size(kind, tensor->ne[0]);
    const int64_t n_panels = panels(tensor);
    std::atomic<int64_t> next{ 0 };
    const auto work = [&] {
        for (int64_t p = next++; p < n_panels; p = next++) {
            const int rows = int(std::min<int64_t>(SOTTO_ROWS, tensor->ne[1] - p * SOTTO_ROWS));
            sotto_pack_panel(kind, (const char *) data + size_t(p) * SOTTO_ROWS * row_size, row_size, rows, tensor->ne[0],
                             (uint8_t *) tensor->data + size_t(p) * panel_size);
        }
    };
    std::vector<std::thread> helpers;
    if (size > (1u << 20)) {
        const unsigned n = std::min(std::max(std::thread::hardware_concurrency(), 1u), 8u);
        for (unsigned i = 1; i < n; i++) {
            helpers.emplace_back(work);
        }
    }
    work();
    for (std::thread & helper : helpers) {
        helper.join();
    }
#ifdef __linux__
    drop_if_mapped(data, size);
#endif
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t buft, size_t size) {
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (!buffer) {
        return nullptr;
    }
#ifdef __linux__
    // Generation reads every weight once a token: with pages of 4 KB the translation of addresses is what it waits for.
    const uintptr_t huge = 2 << 20;
    const uintptr_t begin = ((uintptr_t) ggml_backend_buffer_get_base(buffer) + huge - 1) & ~(huge - 1);
    const uintptr_t end = ((uintptr_t) ggml_backend_buffer_get_base(buffer) + size) & ~(huge - 1);
    if (begin < end) {
        madvise((void *) begin, end - begin, MADV_HUGEPAGE);
    }
#endif
    buffer->buft = buft;
    buffer->iface.set_tensor = set_tensor;
    buffer->iface.get_tensor = nullptr;
    buffer->iface.cpy_tensor = nullptr;
    return buffer;
}

size_t get_alloc_size(ggml_backend_buffer_type_t, const ggml_tensor * tensor) {
    const int kind = packed_kind(tensor);
    return kind < 0 ? ggml_nbytes(tensor) : packed_size(tensor, kind);
}

}  // namespace

ggml_backend_buffer_type_t ggml_backend_cpu_kernels_buffer_type(void) {
    static ggml_backend_buffer_type type = {
        /* .iface = */ {
            /* .get_name       = */ [](ggml_backend_buffer_type_t) { return "CPU_SOTTO"; },
            /* .alloc_buffer   = */ alloc_buffer,
            /* .get_alignment  = */ [](ggml_backend_buffer_type_t) -> size_t { return 64; },
            /* .get_max_size   = */ nullptr,
            /* .get_alloc_size = */ get_alloc_size,
            /* .is_host        = */ nullptr,
        },
        /* .device  = */ ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
        /* .context = */ static_cast<ggml::cpu::extra_buffer_type *>(new kernels_buffer_type),
    };
    return &type;
}

void ggml_backend_cpu_kernels_register(void) {
    static const bool once = [] {
        const char * wanted = getenv("SOTTO_CPU");
        if (wanted && *wanted && strcmp(wanted, "off") != 0 && !sotto_kernels_in_use()) {
            GGML_LOG_WARN("SOTTO_CPU: expected off, generic, avx2, avxvnni or avx512vnni and a CPU that has it, received \"%s\": "
                          "going on with ggml's own kernels\n", wanted);
        }
        if (sotto_kernels_in_use()) {
            auto & types = ggml_backend_cpu_get_extra_buffer_types();
            types.insert(types.begin(), ggml_backend_cpu_kernels_buffer_type());
        }
        return true;
    }();
    (void) once;
}

const char * ggml_backend_cpu_kernels_name(void) { return sotto_kernels_in_use() ? sotto_kernels_in_use()->name : "off"; }
