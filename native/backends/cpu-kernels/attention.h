// attention.h: flash attention over a cache of f16. ggml's own kernel takes few rows one query and one cell at a time, and many rows
// with the cells that their mask hides.
#pragma once

#include "traits.h"

// What computes a FLASH_ATTN_EXT, or null when ggml's own kernel should.
ggml::cpu::tensor_traits * sotto_attention_traits(const ggml_tensor * op);
