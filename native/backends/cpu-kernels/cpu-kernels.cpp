#include "cpu-kernels.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "attention.h"
#include "cpu-isa.h"
#include "float-mul-mat.h"
#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "mul-mat-id.h"
#include "mul-mat.h"
#include "pack.h"
#include "packed-file.h"
#include "packed.h"
#include "parallel.h"
#include "team.h"
#include "traits.h"

#ifdef __linux__
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

constexpr size_t PACKED = 1 << 20;  // bytes that are packed before they are written

struct use {
    bool upstream;
    void (*packed)(void * data, const char * tensor, const char * problem);
    void * data;
};

thread_local use current = {};
// Plain pointers: destructors of a thread would have to be registered, and run when the process ends beside other threads.
thread_local sotto_packed_file * awaited = nullptr;       // ours, until a buffer takes it
thread_local sotto_packed_file * being_loaded = nullptr;  // its buffer's

// Elements that an operation may go through before one thread takes longer for them than several for a barrier or two, with a margin.
constexpr int64_t LARGE = 1 << 17;
thread_local bool foreign = false;  // an operation that is not ours goes through more

void note_foreign(const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_NONE: case GGML_OP_RESHAPE: case GGML_OP_VIEW: case GGML_OP_PERMUTE: case GGML_OP_TRANSPOSE:
        case GGML_OP_GET_ROWS: return;  // no work, or of a few rows of a large tensor
        default: break;
    }
    const int64_t out = op->view_src ? 0 : ggml_nelements(op);  // a store to the cache
    int64_t in = 0;
    for (int i = 0; i < GGML_MAX_SRC && op->src[i] && op->op != GGML_OP_SET_ROWS; i++) {
        in = std::max(in, ggml_nelements(op->src[i]));
    }
    foreign |= std::max(in, out) > LARGE;
}

// On a node of a graph that is computed with ggml's own kernels: its plan is made on the thread that asked for them, the pool's threads
// see this mark.
char upstream_mark;

class kernels_buffer_type : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        if (current.upstream) {
            return false;
        }
        if (op->op == GGML_OP_MUL_MAT_ID) {
            return is_ours(op->src[0]) && sotto_mul_mat_id_packs(op) && is_host(op->src[1]) && is_host(op->src[2]);
        }
        return op->op == GGML_OP_MUL_MAT && is_ours(op->src[0]) && ggml_n_dims(op->src[0]) == 2 && sotto_packed_kind(op->src[0]) >= 0 &&
               op->src[1]->type == GGML_TYPE_F32 && op->src[1]->nb[0] == sizeof(float) && is_host(op->src[1]);
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        if (op->extra == &upstream_mark) {
            return nullptr;
        }
        if (current.upstream) {  // while the graph is planned: nobody else reads the node yet
            sotto_mul_mat_passed(op);
            const_cast<ggml_tensor *>(op)->extra = &upstream_mark;
            return nullptr;
        }
        ggml::cpu::tensor_traits * const traits = ours(op);
        if (traits != sotto_mul_mat_traits()) {
            sotto_mul_mat_passed(op);
        }
        if (!traits) {
            note_foreign(op);
        }
        return traits;
    }

    static ggml::cpu::tensor_traits * ours(const ggml_tensor * op) {
        switch (op->op) {  // ggml asks for every operation, wherever its tensors lie
            case GGML_OP_FLASH_ATTN_EXT: return sotto_attention_traits(op);
            case GGML_OP_MUL_MAT:        return is_ours(op->src[0]) ? sotto_mul_mat_traits() : sotto_float_mul_mat_traits(op);
            case GGML_OP_MUL_MAT_ID:     return sotto_mul_mat_id_traits(op, is_ours(op->src[0]));
            default:                     return nullptr;
        }
    }

    static bool is_ours(const ggml_tensor * w) {
        return w->buffer && w->buffer->buft == ggml_backend_cpu_kernels_buffer_type();
    }
    static bool is_host(const ggml_tensor * x) { return !x->buffer || ggml_backend_buft_is_host(x->buffer->buft); }
};

// Another extra buffer type without the floats: AMX's takes f16 only to copy it, and our kernels read it from the model's mapped file.
class without_floats : public ggml::cpu::extra_buffer_type {
    ggml::cpu::extra_buffer_type * const whole;

    bool supports_op(ggml_backend_dev_t device, const ggml_tensor * op) override {
        const bool floats = op->src[0]->type == GGML_TYPE_F16 || op->src[0]->type == GGML_TYPE_BF16;
        return (current.upstream || !floats) && whole->supports_op(device, op);
    }
    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override { return whole->get_tensor_traits(op); }

  public:
    explicit without_floats(void * context) : whole(static_cast<ggml::cpu::extra_buffer_type *>(context)) {}
};

#ifdef __linux__
// What has been packed is not read again. If it came from a mapped file, its pages need not count in our memory any longer; if somebody
// does read them, they come back from the page cache. Memory that is no file, or was written to, would lose its contents, so the
// system is asked what it is.
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

// What a buffer of ours is: memory of this process, or the image in a packed file.
struct weights {
    void * base;
    ggml_backend_buffer_t memory;
    sotto_packed_file * file;
};

void set_tensor(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor));
    const int kind = sotto_packed_kind(tensor);
    sotto_packed_file * file = ((weights *) buffer->context)->file;
    if (current.packed) {
        current.packed(current.data, tensor->name, nullptr);
    }
    if (!file || !file->holds(tensor, sotto_packed_size(tensor, kind))) {
        const size_t size = sotto_panel_size(kind, tensor->ne[0]);
        const int64_t n = sotto_panels(tensor) * tensor->ne[2], group = std::max<int64_t>(1, int64_t(PACKED / size));
        sotto_in_parallel((n + group - 1) / group, [&](int64_t g) {
            const int64_t first = g * group, last = std::min(n, first + group);
            uint8_t * const to = (uint8_t *) tensor->data + size_t(first) * size;
            const std::unique_ptr<uint8_t[]> memory(file ? new (std::nothrow) uint8_t[size_t(last - first) * size] : nullptr);
            for (int64_t p = first; p < last; p++) {
                sotto_pack(tensor, kind, data, p, (memory ? memory.get() : to) + size_t(p - first) * size);
            }
            if (memory) {
                file->write(to, memory.get(), size_t(last - first) * size);
            }
        });
#ifdef __linux__
        drop_if_mapped(data, ggml_nbytes(tensor));
#endif
    }
}

void free_buffer(ggml_backend_buffer_t buffer) {
    weights * w = (weights *) buffer->context;
    if (being_loaded == w->file) {
        being_loaded = nullptr;
    }
    if (w->memory) {
        ggml_backend_buffer_free(w->memory);
    }
    delete w->file;
    delete w;
}

void tell(const std::string & problem) {
    GGML_LOG_WARN("packed weights stay in memory: %s\n", problem.c_str());
    if (current.packed) {
        current.packed(current.data, nullptr, problem.c_str());
    }
}

// The file that this load is for, once; a second buffer of one load stays in memory.
sotto_packed_file * open_packed_file(size_t size) {
    std::unique_ptr<sotto_packed_file> file(awaited);
    awaited = nullptr;
    std::string problem;
    if (file && !file->open(size, problem)) {
        tell(problem);
        return nullptr;
    }
    return being_loaded = file.release();
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t buft, size_t size) {
    weights w = { nullptr, nullptr, open_packed_file(size) };
    if (w.file) {
        w.base = w.file->image();
    } else {
        w.memory = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
        if (!w.memory) {
            return nullptr;
        }
        w.base = ggml_backend_buffer_get_base(w.memory);
#ifdef __linux__
        // Generation reads every weight once a token: with pages of 4 KB the translation of addresses is what it waits for.
        const uintptr_t huge = 2 << 20;
        const uintptr_t begin = ((uintptr_t) w.base + huge - 1) & ~(huge - 1);
        const uintptr_t end = ((uintptr_t) w.base + size) & ~(huge - 1);
        if (begin < end) {
            madvise((void *) begin, end - begin, MADV_HUGEPAGE);
        }
#endif
    }
    ggml_backend_buffer_i functions = {};
    functions.free_buffer = free_buffer;
    functions.get_base = [](ggml_backend_buffer_t buffer) { return ((weights *) buffer->context)->base; };
    functions.set_tensor = set_tensor;
    functions.clear = [](ggml_backend_buffer_t, uint8_t) {};  // weights are written whole
    return ggml_backend_buffer_init(buft, functions, new weights(w), size);
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
            GGML_LOG_WARN("SOTTO_CPU: expected off, generic, avx2, avxvnni, avx512vnni, avx512amx, neondot or neoni8mm and a CPU that has it, "
                          "received \"%s\": going on with ggml's own kernels\n", wanted);
        }
        if (sotto_kernels_in_use()) {
            auto & types = ggml_backend_cpu_get_extra_buffer_types();
            for (ggml_backend_buffer_type_t other : types) {
                if (other && other->context) {
                    other->context = static_cast<ggml::cpu::extra_buffer_type *>(new without_floats(other->context));
                }
            }
            types.insert(types.begin(), ggml_backend_cpu_kernels_buffer_type());
        }
        return true;
    }();
    (void) once;
}

void ggml_backend_cpu_kernels_use(bool upstream, const char * packed_path, bool bring,
                                  void (*packed)(void * data, const char * tensor, const char * problem), void * data) {
    current = { upstream, packed, data };
    delete awaited;
    awaited = packed_path ? new sotto_packed_file(packed_path, bring) : nullptr;
    being_loaded = nullptr;
}

void ggml_backend_cpu_kernels_crew(void (*run)(void * crew, int64_t n, void (*work)(void * data, int64_t i, int member), void * data),
                                   void * crew, int members) {
    sotto_crew_of_thread() = { run, crew, members };
}

bool ggml_backend_cpu_kernels_foreign(void) {
    const bool answer = foreign;
    foreign = false;
    return answer;
}

const char * ggml_backend_cpu_kernels_loaded(void) {
    std::string problem;
    const bool in_file = being_loaded && being_loaded->finish(problem);
    if (being_loaded && !in_file) {
        tell(problem);
    }
    delete awaited;
    awaited = nullptr;
    being_loaded = nullptr;
    return in_file ? "file" : "memory";
}

const char * ggml_backend_cpu_kernels_name(void) { return sotto_kernels_in_use() ? sotto_kernels_in_use()->name : "off"; }
