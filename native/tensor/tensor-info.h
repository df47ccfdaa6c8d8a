// tensor-info.h: what a tensor is, for those who check it: layout, what its type can be turned into, and how an error names it.
#pragma once

#include <ggml.h>

#include <string>

namespace sotto {

// GGUF's name of a type: "F32", "Q4_K".
std::string TypeName(ggml_type type);
// "F32 [4, 2]", and its strides where it is no block of memory.
std::string Describe(const ggml_tensor* tensor);

// The first dimension lies in memory as one piece. Stricter than ggml_is_contiguous_rows, which lets a single block lie anywhere, while
// most of ggml's loops assert the stride itself.
inline bool HasRows(const ggml_tensor* t) { return t->nb[0] == ggml_type_size(t->type); }
// Rows follow one another at one distance, as loops over ggml_nrows take for granted. Stricter than ggml_is_contiguous_1, which does not look
// at the stride of a dimension of 1, while such a loop uses it for the dimensions behind.
bool HasEvenRows(const ggml_tensor* t);
// Even rows without gaps.
bool IsDense(const ggml_tensor* t);
inline bool IsQuantised(const ggml_tensor* t) { return ggml_is_quantized(t->type); }

// ggml's CPU backend turns F32 into it while it computes (type_traits_cpu[].from_float, which no public header shows).
bool CanBeComputed(ggml_type type);
// Its rows can be turned into F32. What can be read can be multiplied with as well; Q8_1 and Q8_K are only what right-hand sides become.
bool CanBeRead(ggml_type type);
// ggml_quantize_chunk makes it out of F32 without an importance matrix.
bool CanBeQuantised(ggml_type type);

}  // namespace sotto
