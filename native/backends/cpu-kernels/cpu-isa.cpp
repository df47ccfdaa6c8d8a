#include "cpu-isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(SOTTO_X86_KERNELS)
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#ifdef SOTTO_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(SOTTO_ARM_KERNELS)
#include "ggml-feats.h"
#endif

namespace {

#if defined(SOTTO_X86_KERNELS)

struct registers {
    uint32_t a, b, c, d;
};

registers cpuid(uint32_t leaf, uint32_t sub) {
    registers r = { 0, 0, 0, 0 };
#ifdef _MSC_VER
    int out[4];
    __cpuidex(out, int(leaf), int(sub));
    r = { uint32_t(out[0]), uint32_t(out[1]), uint32_t(out[2]), uint32_t(out[3]) };
#else
    if (__get_cpuid_max(0, nullptr) >= leaf) {
        __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
    }
#endif
    return r;
}

uint64_t enabled_state() {
#ifdef _MSC_VER
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t(high) << 32 | low;
#endif
}

#ifdef SOTTO_AMX
// Linux gives a process the 8 KB of tile registers when it asks (arch_prctl ARCH_REQ_XCOMP_PERM, XTILEDATA), to all its threads.
bool tiles_are_granted() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }
#endif

// Bits of leaves 1 and 7 as the Intel SDM, volume 2, CPUID, numbers them; the state is what the system saves at a switch.
bool has(const sotto_kernels * set) {
    if (set == &sotto_kernels_generic) {
        return true;
    }
    const registers one = cpuid(1, 0), seven = cpuid(7, 0), seven1 = cpuid(7, 1);
    const bool osxsave = one.c >> 27 & 1, fma = one.c >> 12 & 1, f16c = one.c >> 29 & 1, avx2 = seven.b >> 5 & 1;
    if (!osxsave || !fma || !f16c || !avx2 || (enabled_state() & 6) != 6) {
        return false;
    }
    if (set == &sotto_kernels_avx2) {
        return true;
    }
    if (set == &sotto_kernels_avxvnni) {
        return seven1.a >> 4 & 1;
    }
    const bool f = seven.b >> 16 & 1, dq = seven.b >> 17 & 1, bw = seven.b >> 30 & 1, vl = seven.b >> 31 & 1, vnni = seven.c >> 11 & 1;
    if (!f || !dq || !bw || !vl || !vnni || (enabled_state() & 0xe6) != 0xe6) {
        return false;
    }
#ifdef SOTTO_AMX
    if (set == &sotto_kernels_avx512amx) {
        const bool amx_tile = seven.d >> 24 & 1, amx_int8 = seven.d >> 25 & 1;
        return amx_tile && amx_int8 && (enabled_state() & 0x60000) == 0x60000 && tiles_are_granted();
    }
#endif
    return true;
}

// The fastest first, and whether the CPU gets it unless SOTTO_CPU says otherwise.
const sotto_kernels * const sets[] = {
#ifdef SOTTO_AMX
    &sotto_kernels_avx512amx,
#endif
    &sotto_kernels_avx512vnni, &sotto_kernels_avxvnni, &sotto_kernels_avx2, &sotto_kernels_generic,
};

constexpr bool UNASKED = true;

#elif defined(SOTTO_ARM_KERNELS)

bool has(const sotto_kernels * set) {
    const ggml_feats_arch64_runtime_t cpu = ggml_feats_get_arch64_runtime();
    return set == &sotto_kernels_neoni8mm ? cpu.has_dotprod && cpu.has_i8mm : set == &sotto_kernels_neondot ? cpu.has_dotprod : true;
}

const sotto_kernels * const sets[] = { &sotto_kernels_neoni8mm, &sotto_kernels_neondot, &sotto_kernels_generic };

// Right, as scripts/test-arm.mjs shows, but never measured beside ggml's own kernels, which are tuned for these CPUs by hand.
constexpr bool UNASKED = false;

#else

bool has(const sotto_kernels *) { return true; }

const sotto_kernels * const sets[] = { &sotto_kernels_generic };

constexpr bool UNASKED = false;

#endif

}  // namespace

const sotto_kernels * sotto_find_kernels(const char * name) {
    for (const sotto_kernels * set : sets) {
        if (strcmp(set->name, name) == 0 && has(set)) {
            return set;
        }
    }
    return nullptr;
}

const sotto_kernels * sotto_choose_kernels() {
    const char * wanted = getenv("SOTTO_CPU");
    if (wanted && *wanted) {
        return sotto_find_kernels(wanted);
    }
    for (const sotto_kernels * set : sets) {
        if (UNASKED && set != &sotto_kernels_generic && has(set)) {
            return set;
        }
    }
    return nullptr;
}

const sotto_kernels * sotto_kernels_in_use() {
    static const sotto_kernels * const chosen = sotto_choose_kernels();
    return chosen;
}
