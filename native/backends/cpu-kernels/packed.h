// packed.h: the size and shape of a packed tensor.
#pragma once

#include "ggml.h"
#include "pack.h"

inline int64_t sotto_panels(const ggml_tensor * w) { return (w->ne[1] + SOTTO_ROWS - 1) / SOTTO_ROWS; }

// Wants whole blocks along the columns, and rows that a panel can hold. -1: no kernels for it.
inline int sotto_packed_kind(const ggml_tensor * w) {
    const int kind = sotto_kind_of(w->type);
    if (kind < 0 || w->ne[0] % (32 * sotto_traits_of(kind).super) != 0 || w->ne[3] != 1) {
        return -1;
    }
    return kind;
}

inline size_t sotto_packed_size(const ggml_tensor * w, int kind) {
    return size_t(sotto_panels(w)) * sotto_panel_size(kind, w->ne[0]);
}
