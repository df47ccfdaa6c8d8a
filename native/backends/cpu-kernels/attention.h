// attention.h: flash attention over a cache of f32, f16, q8_0 or q4_0, keys and values each of their own. ggml's own kernel takes
// rows of a quantised cache one query and one cell at a time, and many rows of f16 with the cells that their mask hides.
#pragma once

#include "traits.h"

// What computes a FLASH_ATTN_EXT, or null when ggml's own kernel should.
ggml::cpu::tensor_traits * sotto_attention_traits(const ggml_tensor * op);
