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
#include "mul-mat.h"
#include "pack.h"
#include "packed.h"
#include "traits.h"

#ifdef __linux__
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

class kernels_buffer_type : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        return op->op == GGML_OP_MUL_MAT && is_ours(op->src[0]) && ggml_n_dims(op->src[0]) == 2 && sotto_packed_kind(op->src[0]) >= 0 &&
               op->src[1]->type == GGML_TYPE_F32 && op->src[1]->nb[0] == sizeof(float) &&
               (!op->src[1]->buffer || ggml_backend_buft_is_host(op->src[1]->buffer->buft));
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        if (op->op == GGML_OP_FLASH_ATTN_EXT) {
            return sotto_attention_traits(op);  // ggml asks for every operation, wherever its tensors lie
        }
        return op->op == GGML_OP_MUL_MAT && is_ours(op->src[0]) ? sotto_mul_mat_traits() : nullptr;
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
    const int kind = sotto_packed_kind(tensor);
    const size_t row_size = ggml_row_size(tensor->type, tensor->ne[0]);
    const size_t panel_size = sotto_panel_size(kind, tensor->ne[0]);
    const int64_t n_panels = sotto_panels(tensor);
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
    const int kind = sotto_packed_kind(tensor);
    return kind < 0 ? ggml_nbytes(tensor) : sotto_packed_size(tensor, kind);
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
