// float-mul-mat.h: MUL_MAT with weights of f16, bf16 or f32, read where they lie: rows of floats are as fast as panels, and stay
// mapped from the model's file. f32 are the routers of experts, whose choice must not depend on the batch either.
#pragma once

#include "kernels.h"
#include "traits.h"

// The kind of a tensor whose rows the float kernels read, or -1.
int sotto_float_kind(const ggml_tensor * w);

// One column into a tile of `n` columns.
void sotto_put_floats(const float * x, int64_t k, float * tile, int64_t n, int64_t column);

// What computes a MUL_MAT of floats, or null when ggml's own should.
ggml::cpu::tensor_traits * sotto_float_mul_mat_traits(const ggml_tensor * op);
