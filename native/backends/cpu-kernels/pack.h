// pack.h: ggml's rows of blocks into panels (layout.h). Lossless: only the order of bits changes.
#pragma once

#include "layout.h"

// The kind of a ggml type, or -1 when there are no kernels for it.
int sotto_kind_of(int ggml_type);

// Packs one panel: up to 16 rows of `columns` weights, `stride` bytes apart. Missing rows become zeros.
void sotto_pack_panel(int kind, const void * rows, size_t stride, int n_rows, int64_t columns, uint8_t * panel);
