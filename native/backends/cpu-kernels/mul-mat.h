// mul-mat.h: MUL_MAT with packed weights, in ggml's own thread pool or with a crew.
#pragma once

#include "traits.h"

// What computes a MUL_MAT whose weights lie in our buffer.
ggml::cpu::tensor_traits * sotto_mul_mat_traits();

// The parameter of a planned MUL_MAT, one that ggml does not use, that says: its input is in the work buffer already, quantised for the
// operation before. Q, K and V, or gate and up, have one input.
enum { SOTTO_SHARES_INPUT = GGML_MAX_OP_PARAMS / sizeof(int32_t) - 1 };

// Every other operation of a graph, as it is planned: it may write to the work buffer.
void sotto_mul_mat_passed(const ggml_tensor * op);
