// mul-mat.h: MUL_MAT with packed weights, in ggml's own thread pool or with a crew.
#pragma once

#include "traits.h"

// What computes a MUL_MAT whose weights lie in our buffer.
ggml::cpu::tensor_traits * sotto_mul_mat_traits();
