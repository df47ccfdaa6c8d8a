#include "tensor/gradient-rules.h"

#include <cstring>
#include <string>
#include <unordered_set>

#include "base/error.h"
#include "tensor/tensor-info.h"

namespace sotto {
namespace {

using Set = std::unordered_set<const ggml_tensor*>;

[[noreturn]] void Refuse(const ggml_tensor* node, const std::string& expected) {
  throw Error(ErrorCode::kGraphGradient, std::string("ggml_") + ggml_op_desc(node) + ": expected " + expected +
                                             ", received a result " + Describe(node));
}

bool IsScalar(const ggml_tensor* t) { return ggml_is_scalar(t); }

// Gradients reach the result through them in no way (ggml_build_backward_expand).
bool Ignored(const ggml_tensor* node, int source) {
  switch (node->op) {
    case GGML_OP_IM2COL:
    case GGML_OP_IM2COL_BACK: return source == 0;
    case GGML_OP_UNARY: {
      const ggml_unary_op op = ggml_get_unary_op(node);
      return source == 0 && (op == GGML_UNARY_OP_SGN || op == GGML_UNARY_OP_STEP);
    }
    case GGML_OP_CPY:
    case GGML_OP_GET_ROWS:
    case GGML_OP_GET_ROWS_BACK:
    case GGML_OP_ROPE: return source == 1;
    default: return false;
  }
}

// Sources for which ggml knows the derivative, a bit each; -1: the operation has none.
int Derivable(const ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_NONE:
    case GGML_OP_DUP:
    case GGML_OP_SQR:
    case GGML_OP_SQRT:
    case GGML_OP_LOG:
    case GGML_OP_SIN:
    case GGML_OP_COS:
    case GGML_OP_SUM:
    case GGML_OP_SUM_ROWS:
    case GGML_OP_MEAN:
    case GGML_OP_REPEAT:
    case GGML_OP_REPEAT_BACK:
    case GGML_OP_RMS_NORM:
    case GGML_OP_SCALE:
    case GGML_OP_CONT:
    case GGML_OP_RESHAPE:
    case GGML_OP_VIEW:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE:
    case GGML_OP_GET_ROWS:
    case GGML_OP_DIAG_MASK_INF:
    case GGML_OP_DIAG_MASK_ZERO:
    case GGML_OP_SOFT_MAX:
    case GGML_OP_ROPE:
    case GGML_OP_POOL_2D:
    case GGML_OP_CROSS_ENTROPY_LOSS: return 1;
    case GGML_OP_ADD:
    case GGML_OP_SUB:
    case GGML_OP_MUL:
    case GGML_OP_DIV:
    case GGML_OP_MUL_MAT: return 3;
    case GGML_OP_IM2COL: return 2;
    case GGML_OP_UNARY:
      switch (ggml_get_unary_op(node)) {
        case GGML_UNARY_OP_ABS:
        case GGML_UNARY_OP_SGN:
        case GGML_UNARY_OP_NEG:
        case GGML_UNARY_OP_STEP:
        case GGML_UNARY_OP_RELU:
        case GGML_UNARY_OP_SILU:
        case GGML_UNARY_OP_EXP:
        case GGML_UNARY_OP_EXPM1:
        case GGML_UNARY_OP_SOFTPLUS: return 1;
        default: return -1;
      }
    case GGML_OP_GLU: return ggml_get_glu_op(node) == GGML_GLU_OP_SWIGLU && node->src[1] ? 3 : -1;
    default: return -1;
  }
}

// The derivative of one of these is made of the gradient in a way that takes any layout of it; the others assert a contiguous one.
bool TakesAnyLayout(const ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_NONE:
    case GGML_OP_DUP:
    case GGML_OP_ADD:
    case GGML_OP_MUL_MAT:
    case GGML_OP_RESHAPE:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE: return true;
    default: return false;
  }
}

}  // namespace

void CheckGradients(const std::vector<ggml_tensor*>& nodes) {
  bool parameters = false, loss = false;
  Set needed;
  for (const ggml_tensor* node : nodes) {
    parameters = parameters || (node->flags & GGML_TENSOR_FLAG_PARAM);
    loss = loss || (node->flags & GGML_TENSOR_FLAG_LOSS);
    if (node->type == GGML_TYPE_I32) continue;
    bool needs = node->flags & (GGML_TENSOR_FLAG_PARAM | GGML_TENSOR_FLAG_LOSS);
    for (int i = 0; i < GGML_MAX_SRC; ++i) {
      if (!node->src[i] || Ignored(node, i) || !needed.contains(node->src[i])) continue;
      needs = true;
      const int derivable = Derivable(node);
      if (derivable < 0 || !(derivable & (1 << i)))
        Refuse(node, "an operation that ggml has a derivative of, for this source");
    }
    if (!needs) continue;
    if (node->type != GGML_TYPE_F32) Refuse(node, "F32 wherever there is a gradient");
    for (const ggml_tensor* source : node->src) {
      if (source && needed.contains(source) && source->type != GGML_TYPE_F32)
        Refuse(node, "F32 wherever there is a gradient");
    }
    const bool view = node->op == GGML_OP_VIEW || node->op == GGML_OP_RESHAPE || node->op == GGML_OP_PERMUTE ||
                      node->op == GGML_OP_TRANSPOSE ||
                      (node->op == GGML_OP_NONE && (node->flags & GGML_TENSOR_FLAG_PARAM));
    if (node->view_src && !view) Refuse(node, "no operation in place");
    needed.insert(node);
  }
  if (!parameters)
    throw Error(ErrorCode::kGraphGradient,
                "Expected a graph with a parameter: call setParam() on what is to be trained");
  if (!loss)
    throw Error(ErrorCode::kGraphGradient, "Expected a graph with a loss: call setLoss() on a number that it computes");

  // Backwards: whose gradient may be a permuted view. Those who make something of it that must lie in one piece are refused.
  Set permuted;
  for (size_t n = nodes.size(); n-- > 0;) {
    const ggml_tensor* node = nodes[n];
    if (!needed.contains(node)) continue;
    const ggml_tensor *a = node->src[0], *b = node->src[1];
    const bool first = a && needed.contains(a), second = b && needed.contains(b);
    const bool turned = permuted.contains(node);
    if (turned && !TakesAnyLayout(node)) Refuse(node, "a matrix product, a sum or a reshape before what is permuted");
    switch (node->op) {
      case GGML_OP_PERMUTE:
      case GGML_OP_TRANSPOSE:
        if (first) permuted.insert(a);
        break;
      case GGML_OP_DUP:
      case GGML_OP_ADD:
        if (turned && first) permuted.insert(a);
        if (turned && second) permuted.insert(b);
        break;
      case GGML_OP_SUB:
      case GGML_OP_DIV:
        if (second && !ggml_are_same_shape(a, b)) Refuse(node, "tensors of one shape (see repeat)");
        break;
      case GGML_OP_MEAN:
        if (!IsScalar(node)) Refuse(node, "the mean of a single row");
        break;
      case GGML_OP_VIEW:
        if (first &&
            !(IsDense(a) && a->nb[2] == a->nb[1] * size_t(a->ne[1]) && a->nb[3] == a->nb[2] * size_t(a->ne[2]))) {
          Refuse(node, "a view of a contiguous tensor");
        }
        for (int i = 1; i < GGML_MAX_DIMS; ++i) {
          if (node->nb[i] > INT32_MAX) Refuse(node, "strides of less than 2 GB");
        }
        if (first && (node->view_offs > INT32_MAX || !HasRows(node))) Refuse(node, "an offset of less than 2 GB");
        break;
      case GGML_OP_MUL_MAT:
        if (first && b && (a->ne[3] != b->ne[3] || (a->ne[2] != b->ne[2] && b->ne[3] != 1)))
          Refuse(node, "no broadcasting of the fourth dimension");
        break;
      case GGML_OP_GET_ROWS:
        if (first && !(ggml_is_matrix(a) && ggml_is_vector(b))) Refuse(node, "a matrix and a vector of indices");
        break;
      case GGML_OP_CONT:
        if (first && permuted.contains(a)) Refuse(node, "a source that is permuted nowhere else");
        break;
      case GGML_OP_SOFT_MAX: {
        float max_bias = 0;
        std::memcpy(&max_bias, node->op_params + 1, sizeof(max_bias));
        if (max_bias != 0) Refuse(node, "max_bias of 0");
        break;
      }
      case GGML_OP_ROPE:
        if (node->op_params[2] & GGML_ROPE_TYPE_MROPE || node->op_params[15] != 0)
          Refuse(node, "a mode that ggml has a derivative of");
        break;
      default: break;
    }
    // Contributions of one tensor to itself are added up; these ways of adding want what is there in one piece.
    const bool adds_in_place = node->op == GGML_OP_SUM || node->op == GGML_OP_MEAN || node->op == GGML_OP_VIEW;
    if (adds_in_place && first && permuted.contains(a))
      Refuse(node, "a source that is permuted nowhere else (see cont)");
  }
}

}  // namespace sotto
