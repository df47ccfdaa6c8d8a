// packed.h: the size and shape of a packed tensor.
#pragma once

#include "ggml.h"
#include "pack.h"

// Of one plane.
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
    return size_t(sotto_panels(w) * w->ne[2]) * sotto_panel_size(kind, w->ne[0]);
}

// Panel p of all planes, out of the tensor's data as a model's file holds it, to where there is room for one.
inline void sotto_pack(const ggml_tensor * w, int kind, const void * data, int64_t p, uint8_t * to) {
    const size_t row_size = ggml_row_size(w->type, w->ne[0]);
    const int64_t plane = p / sotto_panels(w), row = p % sotto_panels(w) * SOTTO_ROWS;
    const int rows = w->ne[1] - row < SOTTO_ROWS ? int(w->ne[1] - row) : int(SOTTO_ROWS);
    sotto_pack_panel(kind, (const char *) data + size_t(plane * w->ne[1] + row) * row_size, row_size, rows, w->ne[0], to);
}
