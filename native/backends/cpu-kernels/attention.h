// attention.h: flash attention for few rows: generation, many sequences side by side, short prompts. ggml's own kernel takes them
// one query and one cell at a time.
#pragma once

#include "traits.h"

// What computes a FLASH_ATTN_EXT, or null when ggml's own kernel should.
ggml::cpu::tensor_traits * sotto_attention_traits(const ggml_tensor * op);
