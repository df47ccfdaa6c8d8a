#include "tensor/value-rules.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "tensor/tensor-data.h"
#include "tensor/tensor-info.h"

namespace sotto {
namespace {

// The indices of a node, and how many there are of what they count; no tensor when it has none.
struct Indices {
  const ggml_tensor* tensor = nullptr;
  int64_t count = 0;
};

Indices IndicesOf(const ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_GET_ROWS: return {node->src[1], node->src[0]->ne[1]};
    case GGML_OP_GET_ROWS_BACK: return {node->src[1], node->ne[1]};
    case GGML_OP_SET_ROWS: return {node->src[1], node->ne[1]};
    case GGML_OP_ADD_ID: return {node->src[2], node->src[1]->ne[1]};
    case GGML_OP_MUL_MAT_ID: return {node->src[2], node->src[0]->ne[2]};
    case GGML_OP_SSM_SCAN: return {node->src[6], node->src[0]->ne[3]};
    default: return {};
  }
}

bool Sorts(const ggml_tensor* node) { return node->op == GGML_OP_ARGSORT || node->op == GGML_OP_TOP_K; }

}  // namespace

bool HasValueRule(const ggml_tensor* node) { return IndicesOf(node).tensor || Sorts(node); }

void CheckValues(const ggml_tensor* node) {
  const std::string name = ggml_op_name(node->op);
  if (Sorts(node)) {
    for (const float value : ReadFloats(node->src[0])) {
      if (!std::isnan(value)) continue;
      throw Error(ErrorCode::kTensorValue,
                  name + ": expected numbers that can be sorted, received NaN in " + Describe(node->src[0]));
    }
    return;
  }
  const Indices indices = IndicesOf(node);
  for (const int64_t index : ReadIntegers(indices.tensor)) {
    if (index >= 0 && index < indices.count) continue;
    throw Error(ErrorCode::kTensorValue, name + ": expected indices from 0 to " + std::to_string(indices.count - 1) +
                                             ", received " + std::to_string(index) + " in " + Describe(indices.tensor));
  }
}

}  // namespace sotto
