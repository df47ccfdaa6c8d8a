// node-rules.cpp: what computing an operation asserts (ggml-cpu/ops.cpp, ggml-cpu.c) or takes for granted without a look, where a wrong
// layout would be read past its end. A rule is as wide as the code it shields, not as wide as the mathematics. Ranges of indices inside
// tensors are values.cpp's.

#include "tensor/call.h"
#include "tensor/tensor-info.h"

namespace sotto {
namespace {

using T = const ggml_tensor*;

constexpr int64_t kMostIterations = 1 << 16;
constexpr size_t kConvolutionWork = 16 << 20;  // GGML_IM2COL_WORK_SIZE

int32_t IntParam(T node, int i) { return node->op_params[i]; }
bool IsFloat(T t) { return t->type == GGML_TYPE_F32 || t->type == GGML_TYPE_F16 || t->type == GGML_TYPE_BF16; }
bool IsF32(T t) { return t->type == GGML_TYPE_F32; }
bool IsF32OrF16(T t) { return t->type == GGML_TYPE_F32 || t->type == GGML_TYPE_F16; }
bool Divides(int64_t part, int64_t whole) { return whole % part == 0; }

void AllF32(const Call& call, T node) {
  for (int i = 0; i < GGML_MAX_SRC; ++i) {
    if (node->src[i]) call.Type(IsF32(node->src[i]), "every tensor to be of type F32");
  }
}
void AllDense(const Call& call, T node) {
  for (int i = 0; i < GGML_MAX_SRC; ++i) {
    if (node->src[i]) call.Shape(IsDense(node->src[i]), "every tensor to be contiguous (see cont)");
  }
}
void AllRows(const Call& call, T node) {
  for (int i = 0; i < GGML_MAX_SRC; ++i) {
    if (node->src[i]) call.Shape(HasRows(node->src[i]), "the rows of every tensor to be contiguous (see cont)");
  }
  call.Shape(HasRows(node), "the rows of the result to be contiguous");
}

// F32, F16 or BF16 with one of the same type or F32; the result like the first or F32.
void Binary(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  const bool fits = IsF32(a) ? IsF32(b) && IsF32(node)
                             : IsFloat(a) && ((IsF32(b) && (node->type == a->type || IsF32(node))) ||
                                              (b->type == a->type && node->type == a->type));
  call.Type(fits, "F32, F16 or BF16 with a tensor of the same type or F32");
  call.Shape(HasRows(a) && HasRows(node), "the rows of the first tensor to be contiguous (see cont)");
}

void Add(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  if (!IsQuantised(a)) return Binary(call, node);
  call.Type(CanBeRead(a->type) && IsF32(b) && CanBeComputed(node->type),
            "a quantised tensor plus one of type F32, into a type that can be quantised while computing");
  call.Shape(ggml_are_same_shape(a, b), "both to have the same shape when the first is quantised");
  call.Shape(HasRows(a) && IsDense(b) && IsDense(node), "contiguous tensors when the first is quantised");
  call.Shape(node->ne[0] % ggml_blck_size(node->type) == 0, "rows of whole blocks of the result's type");
}

void Add1(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  if (IsQuantised(a)) {
    call.Type(CanBeRead(a->type) && CanBeComputed(a->type) && IsF32(b), "a quantised tensor with a number of type F32");
  } else {
    call.Type(IsFloat(a) && (IsF32(b) || b->type == a->type), "F32, F16 or BF16 with a number of the same type or F32");
  }
  call.Shape(IsDense(a), "the first tensor to be contiguous");
}

// Every copy is dup, cpy, cast or cont.
void Copy(const Call& call, T node) {
  T a = node->src[0];
  if (a->type == node->type) {
    if (!IsQuantised(a)) return;
    const bool rows = ggml_are_same_shape(a, node) && HasRows(a) && HasRows(node);
    call.Shape(rows || (IsDense(a) && IsDense(node)), "a quantised tensor to keep its shape or to be contiguous");
  } else if (IsQuantised(node)) {
    call.Type(IsFloat(a) && CanBeComputed(node->type),
              "F32, F16 or BF16 into a type that can be quantised while computing");
    call.Shape(ggml_are_same_shape(a, node) && HasRows(a) && IsDense(node),
               "the same shape and contiguous rows, into a contiguous quantised tensor");
  } else if (IsQuantised(a)) {
    call.Type(CanBeRead(a->type) && IsF32(node), "a quantised tensor to be copied into one of type F32");
    call.Shape(HasRows(a) && HasRows(node), "contiguous rows");
    call.Shape(Divides(ggml_blck_size(a->type), node->ne[0]) || IsDense(node),
               "rows of whole blocks, or a contiguous target");
  } else {
    const bool both = IsFloat(a) && IsFloat(node);
    const bool integers = (IsF32(a) && node->type == GGML_TYPE_I32) || (a->type == GGML_TYPE_I32 && IsF32(node));
    call.Type(both || integers, "F32, F16 and BF16 among each other, or F32 and I32");
  }
}

void Unary(const Call& call, T node) {
  T a = node->src[0];
  if (node->op != GGML_OP_UNARY) {
    call.Type(IsFloat(a), "F32, F16 or BF16");
  } else {
    switch (ggml_get_unary_op(node)) {
      case GGML_UNARY_OP_GELU:
      case GGML_UNARY_OP_GELU_ERF:
      case GGML_UNARY_OP_GELU_QUICK:
      case GGML_UNARY_OP_SILU: call.Type(IsF32OrF16(a), "F32 or F16"); break;
      case GGML_UNARY_OP_XIELU:
        call.Type(IsFloat(a), "F32, F16 or BF16");
        call.Shape(HasEvenRows(a) && HasEvenRows(node), "rows that follow one another");
        break;
      default: call.Type(IsFloat(a), "F32, F16 or BF16");
    }
  }
  AllRows(call, node);
}

void GatedUnit(const Call& call, T node) {
  const bool f32_only = ggml_get_glu_op(node) == GGML_GLU_OP_SWIGLU_OAI;
  call.Type(f32_only ? IsF32(node->src[0]) : IsF32OrF16(node->src[0]), f32_only ? "F32" : "F32 or F16");
  for (T t : {node->src[0], node->src[1]}) call.Shape(!t || HasEvenRows(t), "rows that follow one another (see cont)");
}

// A piece of `a`, as large as `b`, with strides of its own: set and acc.
void Piece(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  AllRows(call, node);
  call.Shape(IsDense(a) && IsDense(node), "a to be contiguous");
  int64_t last = IntParam(node, 3);
  bool fits = last >= 0 && last % 4 == 0;
  const int64_t strides[] = {4, IntParam(node, 0), IntParam(node, 1), IntParam(node, 2)};
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    fits = fits && strides[i] >= 0 && strides[i] % 4 == 0;
    last += (b->ne[i] - 1) * strides[i];
  }
  call.Shape(fits && last + 4 <= int64_t(ggml_nbytes(a)),
             "b at its strides and offset, all multiples of 4 bytes, to end inside of a");
}

void Multiply(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  call.Type(CanBeRead(a->type), "weights of a type that can be multiplied with");
  call.Type(IsF32(b) || (b->type == a->type && IsFloat(a)), "b of type F32, or of a's when that is F16 or BF16");
  call.Shape(HasRows(a) && HasRows(b), "the rows of a and b to be contiguous (see cont)");
  if (IntParam(node, 1) == GGML_HINT_SRC0_IS_HADAMARD) {
    const int64_t n = b->ne[0];
    call.Shape((n & (n - 1)) == 0 && a->ne[1] == n, "a Hadamard matrix to be square, of a power of two");
    call.Type(IsF32OrF16(b), "F32 or F16 for a Hadamard matrix");
  }
}

void MultiplyById(const Call& call, T node) {
  T a = node->src[0], b = node->src[1], ids = node->src[2];
  call.Type(CanBeRead(a->type) && IsF32(b), "weights of a type that can be multiplied with, and b of type F32");
  call.Shape(HasRows(a) && HasRows(b), "the rows of as and b to be contiguous (see cont)");
  call.Shape(HasRows(ids), "the rows of ids to be contiguous");
  // ggml has a row of the work buffer for every expert and every id.
  call.Shape(double(a->ne[2]) * double(ggml_nelements(ids)) <= double(INT32_MAX),
             "fewer than 2^31 pairs of an expert and an id");
}

void OuterProduct(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  call.Type(IsF32(b) && (IsF32(a) || a->type == GGML_TYPE_F16 || (IsQuantised(a) && CanBeRead(a->type))),
            "F32, F16 or a quantised type, with F32");
  call.Shape(HasRows(a), "the rows of a to be contiguous (see cont)");
  call.Shape(IsF32(a) || (a->ne[2] == b->ne[2] && a->ne[3] == b->ne[3]), "no broadcasting unless a is F32");
}

void GetRows(const Call& call, T node) {
  T a = node->src[0];
  call.Type(CanBeRead(a->type) || a->type == GGML_TYPE_I32, "a of a type whose rows can be read, or I32");
  call.Shape(HasRows(a), "the rows of a to be contiguous (see cont)");
}

void GetRowsBack(const Call& call, T node) {
  T a = node->src[0], b = node->src[1];
  call.Type(IsF32OrF16(a), "a of type F32 or F16");
  call.Shape(HasRows(a) && IsDense(b), "contiguous tensors");
  call.Shape(a->ne[1] == ggml_nelements(b), "as many rows in a as there are indices in b");
}

void SetRows(const Call& call, T node) {
  T b = node->src[0];
  call.Type(CanBeComputed(node->type), "a of a type that can be quantised while computing");
  call.Type(IsF32(b) || b->type == GGML_TYPE_F16, "b of type F32 or F16");
  call.Shape(HasRows(b) && HasRows(node), "contiguous rows");
}

void SoftMax(const Call& call, T node) {
  T sinks = node->src[2];
  call.Type(IsF32(node->src[0]), "a of type F32");
  AllDense(call, node);
  call.Shape(!sinks || sinks->ne[0] == node->ne[2], "a sink for each head");
}

void Rope(const Call& call, T node) {
  T a = node->src[0], positions = node->src[1], factors = node->src[2];
  const int64_t dimensions = IntParam(node, 1), offset = IntParam(node, 15);
  const int mode = IntParam(node, 2);
  call.Type(IsF32OrF16(a), "a of type F32 or F16");
  call.Shape(HasRows(a) && HasRows(node) && IsDense(positions), "contiguous rows and positions");
  call.Shape(Divides(2, a->ne[0]), "an even length of rows");
  call.Option(dimensions >= 2 && Divides(2, dimensions) && dimensions <= a->ne[0],
              "n_dims to be even, and from 2 to the length of a row");
  call.Option(Divides(2, offset) && offset >= 0 && offset + dimensions <= a->ne[0],
              "n_offs to be even, and n_offs + n_dims at most the length of a row");
  call.Option(mode == GGML_ROPE_TYPE_NORMAL || mode == GGML_ROPE_TYPE_NEOX || mode == GGML_ROPE_TYPE_MROPE ||
                  mode == GGML_ROPE_TYPE_IMROPE || mode == GGML_ROPE_TYPE_VISION,
              "mode to be 0 (normal), 2 (NeoX), 8 (M-RoPE), 24 (vision) or 40 (interleaved M-RoPE)");
  if (mode == GGML_ROPE_TYPE_VISION) call.Option(dimensions == a->ne[0] / 2, "n_dims to be half the length of a row");
  if (mode & GGML_ROPE_TYPE_MROPE) {
    int64_t sum = 0, first = 0;
    for (int i = 0; i < GGML_MROPE_SECTIONS; ++i) {
      const int64_t section = IntParam(node, 11 + i);
      call.Option(section >= 0 && section <= a->ne[0], "sections of 0 to the length of a row");
      sum += section;
      if (i < 3) first += section;
    }
    call.Option(first > 0 && sum <= a->ne[0],
                "sections of which one of the first three is not 0, and no more than a row together");
  }
  // ggml reads a factor for each pair of the row, also of those that it does not rotate.
  call.Shape(!factors || (IsDense(factors) && factors->ne[0] >= a->ne[0] / 2),
             "c to have a factor for each pair of a row");
}

void ImageToColumns(const Call& call, T node) {
  T b = node->src[1];
  call.Type(IsF32(b) || (b->type == GGML_TYPE_F16 && node->type == GGML_TYPE_F16), "b of type F32, or F16 into F16");
  call.Shape(IsDense(b), "b to be contiguous");
}

void ColumnsToImage(const Call& call, T node) {
  T a = node->src[0], kernel = node->src[1];
  const bool flat = IntParam(node, 6) != 1;
  call.Type(IsF32(a) && IsF32OrF16(kernel), "F32, and a kernel of type F32 or F16");
  call.Shape(IsDense(a), "the gradient to be contiguous");
  const int64_t channels = flat ? node->ne[1] : node->ne[2], batch = flat ? node->ne[2] : node->ne[3];
  const int64_t patch = channels * kernel->ne[0] * (flat ? 1 : kernel->ne[1]);
  call.Shape(a->ne[0] == patch && (flat ? a->ne[2] == batch && node->ne[3] == 1 : a->ne[3] == batch),
             "the gradient of an im2col of this kernel and shape");
}

void Convolution(const Call& call, T node) {
  T kernel = node->src[0], image = node->src[1];
  call.Type(IsF32OrF16(kernel) && IsF32(image), "a kernel of type F32 or F16, and data of type F32");
  call.Shape(IsDense(kernel), "the kernel to be contiguous");
  const bool volume = node->op == GGML_OP_CONV_3D;
  const double inputs =
      double(kernel->ne[0]) * double(kernel->ne[1]) * double(kernel->ne[2]) * (volume ? double(IntParam(node, 9)) : 1);
  const double outputs = volume ? double(IntParam(node, 11)) : double(kernel->ne[3]);
  call.Shape(inputs * double(ggml_type_size(kernel->type)) + outputs * 4 <= double(kConvolutionWork),
             "a kernel of which one patch fits into 16 MB");
}

void DepthwiseConvolution(const Call& call, T node) {
  T kernel = node->src[0], image = node->src[1];
  call.Type(IsF32OrF16(kernel) && IsF32(image), "a kernel of type F32 or F16, and data of type F32");
  if (IsDense(image)) return call.Shape(IsDense(kernel), "kernel and data to be contiguous");
  const size_t size = ggml_type_size(kernel->type);
  const bool channels_first = image->nb[2] == 4 && image->nb[0] == size_t(image->ne[2]) * 4 &&
                              image->nb[1] == size_t(image->ne[0]) * image->nb[0] &&
                              image->nb[3] == size_t(image->ne[1]) * image->nb[1];
  const bool kernel_too = kernel->nb[3] == size && kernel->nb[0] == size_t(kernel->ne[3]) * size &&
                          kernel->nb[1] == size_t(kernel->ne[0]) * kernel->nb[0] && kernel->nb[0] >= kernel->nb[2] &&
                          kernel->nb[1] >= kernel->nb[0];
  call.Shape(channels_first && kernel_too && ggml_is_contiguous_channels(image),
             "kernel and data to be contiguous, or both with the channels first in memory");
}

void TransposedConvolution(const Call& call, T node) {
  T kernel = node->src[0], data = node->src[1];
  call.Type(IsF32OrF16(kernel) && IsF32(data), "a kernel of type F32 or F16, and data of type F32");
  call.Shape(IsDense(kernel) && HasRows(data), "contiguous tensors");
  if (node->op == GGML_OP_CONV_TRANSPOSE_1D) call.Shape(data->ne[2] == 1 && data->ne[3] == 1, "b with two dimensions");
}

void FlashAttention(const Call& call, T node) {
  T q = node->src[0], k = node->src[1], v = node->src[2], mask = node->src[3], sinks = node->src[4];
  call.Type(IsF32(q), "q of type F32");
  call.Type(CanBeRead(k->type) && CanBeRead(v->type), "k and v of a type that can be multiplied with");
  call.Shape(HasRows(q) && HasRows(k) && HasRows(v), "contiguous rows (see cont)");
  call.Shape(k->ne[1] == v->ne[1] && Divides(k->ne[2], q->ne[2]) && Divides(v->ne[2], q->ne[2]) && k->ne[2] == v->ne[2],
             "k and v of the same length and heads, whose number divides q's");
  call.Shape(!mask || (IsDense(mask) && mask->ne[0] >= k->ne[1] && mask->ne[1] >= q->ne[1]),
             "a contiguous mask with a column for each key and a row for each query");
  call.Shape(!sinks || (IsDense(sinks) && sinks->ne[0] == q->ne[2]), "a sink for each head");
  const int precision = IntParam(node, 3);
  call.Option(precision == GGML_PREC_DEFAULT || precision == GGML_PREC_F32, "the default precision or f32");
}

// State-space, RWKV and gated linear attention: every loop walks dense F32 memory.
void Recurrent(const Call& call, T node) {
  AllF32(call, node);
  AllDense(call, node);
  const bool seven = node->op == GGML_OP_RWKV_WKV7;
  T k = node->src[0];
  T state = node->src[seven ? 6 : node->op == GGML_OP_RWKV_WKV6 ? 5 : 4];
  const int64_t tokens = k->ne[2], sequences = state->ne[1];
  for (int i = 0; i < GGML_MAX_SRC && node->src[i]; ++i) {
    if (node->src[i] == state || (node->op == GGML_OP_RWKV_WKV6 && i == 3)) continue;
    call.Shape(ggml_are_same_shape(node->src[i], k) && k->ne[3] == 1, "tensors [size, heads, tokens] of one shape");
  }
  call.Shape(Divides(sequences, tokens), "as many tokens in each sequence of the state");
  // ggml's vector loop has no tail: 64 is the longest step of any instruction set.
  call.Shape(!seven || Divides(64, k->ne[0]), "heads whose size is a multiple of 64");
  if (node->op == GGML_OP_RWKV_WKV6) {
    call.Shape(ggml_nelements(node->src[3]) >= k->ne[0] * k->ne[1], "tf to have an element for each of a token");
  }
}

void StateScan(const Call& call, T node) {
  T s = node->src[0], x = node->src[1], b = node->src[4], ids = node->src[6];
  for (int i = 0; i < 6; ++i) call.Type(IsF32(node->src[i]), "every tensor but ids to be of type F32");
  call.Shape(IsDense(s) && IsDense(node->src[2]) && IsDense(node->src[3]) && IsDense(ids),
             "contiguous s, dt, A and ids");
  AllRows(call, node);
  call.Shape(Divides(b->ne[1], x->ne[1]), "a number of groups that divides that of heads");
}

void DeltaNet(const Call& call, T node) {
  T q = node->src[0], k = node->src[1], v = node->src[2], g = node->src[3], beta = node->src[4];
  AllF32(call, node);
  AllRows(call, node);
  call.Shape(IsDense(g) && IsDense(beta) && IsDense(node->src[5]), "contiguous g, beta and state");
  bool fits = true;
  for (T t : {q, k}) {
    fits = fits && t->ne[0] == v->ne[0] && t->ne[2] == v->ne[2] && Divides(t->ne[1], v->ne[1]) &&
           Divides(t->ne[3], v->ne[3]);
  }
  for (T t : {g, beta}) fits = fits && t->ne[1] == v->ne[1] && t->ne[2] == v->ne[2] && t->ne[3] == v->ne[3];
  call.Shape(
      fits,
      "q and k like v, with heads and sequences that divide v's, and g and beta with v's heads, tokens and sequences");
}

void SameShapes(const Call& call, T node, int sources) {
  for (int i = 1; i < sources; ++i) {
    call.Shape(ggml_are_same_shape(node->src[0], node->src[i]), "tensors of one shape");
  }
}

void Pool(const Call& call, T node) {
  T a = node->src[0];
  if (node->op == GGML_OP_POOL_2D_BACK) {
    T forward = node->src[1];
    call.Type(IsF32(a) && IsF32(forward), "F32");
    call.Shape(a->ne[2] == forward->ne[2] && a->ne[3] == forward->ne[3],
               "as many planes in the gradient as in the input");
  } else {
    call.Type(IsF32OrF16(a), "F32 or F16");
  }
  AllDense(call, node);
}

// ggml's loops count elements in ints; only weights are told apart by rows.
void CheckCounts(const Call& call, T node) {
  const bool weights = node->op == GGML_OP_NONE || node->op == GGML_OP_VIEW || node->op == GGML_OP_RESHAPE ||
                       node->op == GGML_OP_PERMUTE || node->op == GGML_OP_TRANSPOSE;
  if (weights) return;
  const bool by_rows = node->op == GGML_OP_MUL_MAT || node->op == GGML_OP_MUL_MAT_ID || node->op == GGML_OP_GET_ROWS;
  bool fits = ggml_nelements(node) <= INT32_MAX;
  for (int i = by_rows ? 1 : 0; i < GGML_MAX_SRC; ++i) {
    fits = fits && (!node->src[i] || ggml_nelements(node->src[i]) <= INT32_MAX);
  }
  call.Shape(fits, "tensors of at most 2^31 - 1 elements");
}

}  // namespace

void CheckNode(const Call& call, const ggml_tensor* node) {
  CheckCounts(call, node);
  T a = node->src[0], b = node->src[1];
  switch (node->op) {
    case GGML_OP_NONE:
    case GGML_OP_RESHAPE:
    case GGML_OP_VIEW:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE: return;  // nothing is computed
    case GGML_OP_DUP:
    case GGML_OP_CPY:
    case GGML_OP_CONT: return Copy(call, node);
    case GGML_OP_ADD: return Add(call, node);
    case GGML_OP_SUB:
    case GGML_OP_MUL:
    case GGML_OP_DIV: return Binary(call, node);
    case GGML_OP_ADD_ID:
      for (int i = 0; i < 2; ++i) call.Type(IsF32(node->src[i]), "a and b of type F32");
      return AllRows(call, node);
    case GGML_OP_ADD1: return Add1(call, node);
    case GGML_OP_ACC: return Piece(call, node);
    case GGML_OP_SET:
      call.Type((IsF32(a) && IsF32(b)) || (a->type == GGML_TYPE_I32 && b->type == GGML_TYPE_I32),
                "both F32 or both I32");
      return Piece(call, node);
    case GGML_OP_SQR:
    case GGML_OP_SQRT:
    case GGML_OP_LOG:
    case GGML_OP_SIN:
    case GGML_OP_COS:
    case GGML_OP_UNARY: return Unary(call, node);
    case GGML_OP_GLU: return GatedUnit(call, node);
    case GGML_OP_SUM: call.Type(IsFloat(a), "F32, F16 or BF16"); return AllRows(call, node);
    case GGML_OP_SUM_ROWS:
    case GGML_OP_CUMSUM:
    case GGML_OP_MEAN:
    case GGML_OP_REPEAT_BACK:
    case GGML_OP_RMS_NORM:
    case GGML_OP_GROUP_NORM:
    case GGML_OP_DIAG: AllF32(call, node); return AllRows(call, node);
    case GGML_OP_ARGMAX: call.Type(IsF32(a), "F32"); return AllRows(call, node);
    case GGML_OP_COUNT_EQUAL:
      // Of tensors with more dimensions ggml computes the wrong place of a row.
      call.Type(a->type == GGML_TYPE_I32 && b->type == GGML_TYPE_I32, "I32");
      return call.Shape(a->ne[2] == 1 && a->ne[3] == 1, "at most two dimensions (see reshape2d)");
    case GGML_OP_REPEAT:
      call.Type(IsFloat(a) || a->type == GGML_TYPE_I16 || a->type == GGML_TYPE_I32, "F32, F16, BF16, I16 or I32");
      return AllRows(call, node);
    case GGML_OP_CONCAT:
      call.Shape(ggml_blck_size(a->type) == 1 || (IsDense(a) && IsDense(b)),
                 "contiguous tensors when they are quantised");
      return AllRows(call, node);
    case GGML_OP_SILU_BACK:
      SameShapes(call, node, 2);
      call.Type(IsF32OrF16(a) && a->type == b->type, "both F32 or both F16");
      return AllDense(call, node);
    case GGML_OP_LEAKY_RELU:
      call.Type(IsF32OrF16(a), "F32 or F16");
      call.Shape(HasEvenRows(a) && HasEvenRows(node), "rows that follow one another");
      return AllRows(call, node);
    case GGML_OP_NORM:
    case GGML_OP_L2_NORM: return AllF32(call, node);
    case GGML_OP_RMS_NORM_BACK:
      AllF32(call, node);
      SameShapes(call, node, 2);
      return AllRows(call, node);
    case GGML_OP_MUL_MAT: return Multiply(call, node);
    case GGML_OP_MUL_MAT_ID: return MultiplyById(call, node);
    case GGML_OP_OUT_PROD: return OuterProduct(call, node);
    case GGML_OP_SCALE:
    case GGML_OP_DIAG_MASK_INF:
    case GGML_OP_DIAG_MASK_ZERO:
    case GGML_OP_TRI:
    case GGML_OP_PAD_REFLECT_1D:
    case GGML_OP_WIN_PART:
    case GGML_OP_WIN_UNPART:
    case GGML_OP_SOLVE_TRI:
    case GGML_OP_ADD_REL_POS: AllF32(call, node); return AllDense(call, node);
    case GGML_OP_GET_ROWS: return GetRows(call, node);
    case GGML_OP_GET_ROWS_BACK: return GetRowsBack(call, node);
    case GGML_OP_SET_ROWS: return SetRows(call, node);
    case GGML_OP_SOFT_MAX: return SoftMax(call, node);
    case GGML_OP_SOFT_MAX_BACK:
      AllF32(call, node);
      SameShapes(call, node, 2);
      AllDense(call, node);
      return;
    case GGML_OP_ROPE:
    case GGML_OP_ROPE_BACK: return Rope(call, node);
    case GGML_OP_CLAMP:
    case GGML_OP_FILL: call.Type(IsF32OrF16(a), "F32 or F16"); return AllDense(call, node);
    case GGML_OP_CONV_TRANSPOSE_1D:
    case GGML_OP_CONV_TRANSPOSE_2D: return TransposedConvolution(call, node);
    case GGML_OP_IM2COL: return ImageToColumns(call, node);
    case GGML_OP_IM2COL_BACK: return ColumnsToImage(call, node);
    case GGML_OP_IM2COL_3D:
      call.Type(IsF32(b), "b of type F32");
      return call.Shape(HasRows(b), "the rows of b to be contiguous");
    case GGML_OP_COL2IM_1D: call.Type(IsFloat(a), "F32, F16 or BF16"); return AllDense(call, node);
    case GGML_OP_CONV_2D:
    case GGML_OP_CONV_3D: return Convolution(call, node);
    case GGML_OP_CONV_2D_DW: return DepthwiseConvolution(call, node);
    case GGML_OP_POOL_1D:
    case GGML_OP_POOL_2D:
    case GGML_OP_POOL_2D_BACK: return Pool(call, node);
    case GGML_OP_UPSCALE:
      for (int i = 0; i < GGML_MAX_DIMS; ++i) {
        // Places are computed in single precision.
        call.Shape(node->ne[i] <= 1 << 20 && a->ne[i] <= 1 << 20, "dimensions of at most 2^20");
      }
      return AllF32(call, node);
    case GGML_OP_PAD: return AllF32(call, node);
    case GGML_OP_ROLL: AllF32(call, node); return AllRows(call, node);
    case GGML_OP_ARANGE: return;
    case GGML_OP_TIMESTEP_EMBEDDING: AllF32(call, node); return AllRows(call, node);
    case GGML_OP_ARGSORT:
    case GGML_OP_TOP_K: call.Type(IsF32(a), "F32"); return AllDense(call, node);
    case GGML_OP_FLASH_ATTN_EXT: return FlashAttention(call, node);
    case GGML_OP_SSM_CONV: AllF32(call, node); return AllDense(call, node);
    case GGML_OP_SSM_SCAN: return StateScan(call, node);
    case GGML_OP_GET_REL_POS:
      call.Type(a->type == GGML_TYPE_F16 || a->type == GGML_TYPE_BF16, "F16 or BF16");
      return AllDense(call, node);
    case GGML_OP_RWKV_WKV6:
    case GGML_OP_RWKV_WKV7:
    case GGML_OP_GATED_LINEAR_ATTN: return Recurrent(call, node);
    case GGML_OP_GATED_DELTA_NET: return DeltaNet(call, node);
    case GGML_OP_LIGHTNING_INDEXER:
      call.Type(CanBeRead(b->type), "k of a type whose rows can be read");
      return AllRows(call, node);
    case GGML_OP_DSV4_HC_COMB:
      call.Option(IntParam(node, 1) <= kMostIterations, "at most 65536 iterations");
      return AllF32(call, node);
    case GGML_OP_DSV4_HC_PRE:
    case GGML_OP_DSV4_HC_POST: return AllF32(call, node);
    case GGML_OP_CROSS_ENTROPY_LOSS:
      SameShapes(call, node, 2);
      AllF32(call, node);
      return AllDense(call, node);
    case GGML_OP_CROSS_ENTROPY_LOSS_BACK: AllF32(call, node); return AllDense(call, node);
    case GGML_OP_OPT_STEP_ADAMW:
    case GGML_OP_OPT_STEP_SGD: AllF32(call, node); return AllDense(call, node);
    default: call.Fail(ErrorCode::kInternal, std::string("a rule for the operation ") + ggml_op_name(node->op));
  }
}

}  // namespace sotto
