#include "tensor/tensor-info.h"

#include <algorithm>
#include <cctype>

namespace sotto {

bool HasEvenRows(const ggml_tensor* t) {
  if (!HasRows(t)) return false;
  if (t->ne[3] > 1 && t->nb[3] != t->nb[2] * size_t(t->ne[2])) return false;
  return (t->ne[2] == 1 && t->ne[3] == 1) || t->nb[2] == t->nb[1] * size_t(t->ne[1]);
}

bool IsDense(const ggml_tensor* t) {
  const bool one_row = t->ne[1] == 1 && t->ne[2] == 1 && t->ne[3] == 1;
  return HasEvenRows(t) && (one_row || t->nb[1] == ggml_row_size(t->type, t->ne[0]));
}

std::string TypeName(ggml_type type) {
  std::string name = ggml_type_name(type);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return char(std::toupper(c)); });
  return name;
}

std::string Describe(const ggml_tensor* tensor) {
  if (!tensor) return "nothing";
  std::string text = TypeName(tensor->type) + " [";
  const int dimensions = ggml_n_dims(tensor);
  for (int i = 0; i < dimensions; ++i) text += (i ? ", " : "") + std::to_string(tensor->ne[i]);
  text += "]";
  if (IsDense(tensor)) return text;
  text += " with strides [";
  for (int i = 0; i < GGML_MAX_DIMS; ++i) text += (i ? ", " : "") + std::to_string(tensor->nb[i]);
  return text + "]";
}

bool CanBeComputed(ggml_type type) {
  switch (type) {
    case GGML_TYPE_F32:
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
    case GGML_TYPE_Q1_0:
    case GGML_TYPE_Q2_0:
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_0:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_MXFP4:
    case GGML_TYPE_NVFP4:
    case GGML_TYPE_Q2_K:
    case GGML_TYPE_Q3_K:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
    case GGML_TYPE_TQ1_0:
    case GGML_TYPE_TQ2_0:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_IQ4_XS: return true;
    default: return false;
  }
}

bool CanBeRead(ggml_type type) { return type == GGML_TYPE_F32 || ggml_get_type_traits(type)->to_float; }

bool CanBeQuantised(ggml_type type) { return CanBeRead(type) && !ggml_quantize_requires_imatrix(type); }

}  // namespace sotto
