// mul-mat-id.h: MUL_MAT_ID, the expert matmul: each token's column meets the planes of weights that its router chose.
#pragma once

#include "traits.h"

// Whether a MUL_MAT_ID can have its weights in panels.
bool sotto_mul_mat_id_packs(const ggml_tensor * op);

// What computes a MUL_MAT_ID with packed weights or with floats; null when ggml's own should.
ggml::cpu::tensor_traits * sotto_mul_mat_id_traits(const ggml_tensor * op, bool packed);
