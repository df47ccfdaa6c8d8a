#include "tensor/operation-rules.h"

#include <cmath>

#include "tensor/tensor-info.h"

namespace sotto::rules {
namespace {

using T = const ggml_tensor*;

constexpr int64_t kMostSteps =
    1 << 20;  // of strides, paddings and dilations: sums and products of them stay far from overflow

bool Divides(int64_t part, int64_t whole) { return whole % part == 0; }
bool IsType(T t, ggml_type type) { return t->type == type; }
bool IsF32(T t) { return IsType(t, GGML_TYPE_F32); }
bool IsF32OrF16(T t) { return IsF32(t) || IsType(t, GGML_TYPE_F16); }
bool IsFloat(T t) { return IsF32OrF16(t) || IsType(t, GGML_TYPE_BF16); }
// ggml_is_padded_1d, which no public header has.
bool IsPadded(T t) {
  return HasRows(t) && t->nb[2] == t->nb[1] * size_t(t->ne[1]) && t->nb[3] == t->nb[2] * size_t(t->ne[2]);
}
bool ConvFits(int64_t size, int64_t kernel, int64_t padding, int64_t dilation) {
  return size + 2 * padding - dilation * (kernel - 1) - 1 >= 0;
}

bool IsType(const Call& call, size_t i) {
  const int64_t type = call.integer(i);
  return type >= 0 && type < GGML_TYPE_COUNT && ggml_blck_size(ggml_type(type)) > 0;
}

// Elements of a shape in arguments `from` … `from + count - 1`; each at least 1.
double Elements(const Call& call, size_t from, int count) {
  double elements = 1;
  for (int i = 0; i < count; ++i) {
    call.Range(from + i, 1, INT32_MAX);
    elements *= double(call.integer(from + i));
  }
  return elements;
}

void Regroup(const Call& call, int dimensions) {
  T a = call.tensor(0);
  call.Shape(Elements(call, 1, dimensions) == double(ggml_nelements(a)), "a shape with as many elements as a has");
  call.Shape(Divides(ggml_blck_size(a->type), call.integer(1)), "rows of whole blocks");
}

void Reshape(const Call& call, int dimensions) {
  call.Shape(ggml_is_contiguous(call.tensor(0)), "a to be contiguous (see cont)");
  Regroup(call, dimensions);
}

// Arguments: a, the shape, a stride for each dimension but the first, the offset.
void View(const Call& call, int dimensions) {
  T a = call.tensor(0);
  const int64_t block = ggml_blck_size(a->type), unit = int64_t(ggml_type_size(a->type));
  const double elements = Elements(call, 1, dimensions);
  call.Shape(Divides(block, call.integer(1)), "rows of whole blocks");
  const size_t strides = 1 + dimensions, offset = strides + dimensions - 1;
  const int64_t row = call.integer(1) / block * unit;
  double extent = double(row), end = extent;
  for (int i = 1; i < dimensions; ++i) {
    const int64_t bytes = call.integer(strides + size_t(i) - 1), length = call.integer(size_t(i) + 1);
    call.Shape(Divides(unit, bytes), "strides of whole blocks of the type");
    // Rows that overlap would be written by two threads at once.
    call.Shape(double(bytes) >= extent, "strides of at least what they step over");
    end += double(length - 1) * double(bytes);
    extent = double(bytes) * double(length);
  }
  call.Shape(Divides(unit, call.integer(offset)), "an offset of whole blocks of the type");
  const double room = double(ggml_nbytes(a)) - double(call.integer(offset));
  const double packed = elements / double(block) * double(unit);
  // ggml also wants room for the packed shape, in the tensor that all views are of.
  const double root =
      a->view_src ? double(ggml_nbytes(a->view_src)) - double(a->view_offs) - double(call.integer(offset)) : room;
  if (end <= room && packed <= root) return;
  call.Fail(ErrorCode::kTensorShape,
            "a view that ends inside of a, which has " + std::to_string(ggml_nbytes(a)) + " bytes");
}

void ConvOptions(const Call& call, size_t from, int dimensions, bool padding = true, bool dilation = true) {
  for (int i = 0; i < dimensions; ++i) call.Range(from + i, 1, kMostSteps);
  if (padding) {
    for (int i = 0; i < dimensions; ++i) call.Range(from + dimensions + i, 0, kMostSteps);
  }
  if (dilation) {
    for (int i = 0; i < dimensions; ++i) call.Range(from + dimensions * (padding ? 2 : 1) + i, 1, kMostSteps);
  }
}

constexpr char kSmall[] = "a kernel that is not larger than the padded data";

// s0 s1 p0 p1 d0 d1 from argument 2 on.
void ConvOutput2(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvOptions(call, 2, 2);
  call.Shape(ConvFits(b->ne[0], a->ne[0], call.integer(4), call.integer(6)) &&
                 ConvFits(b->ne[1], a->ne[1], call.integer(5), call.integer(7)),
             kSmall);
}

void ConvKernel(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Type(IsFloat(a), "a kernel of type F32, F16 or BF16");
  call.Shape(IsDense(a) && IsDense(b), "kernel and data to be contiguous (see cont)");
  // im2col makes F16 (or F32 of a BF16 kernel) columns, and a's rows are multiplied with them.
  call.Type(IsF32(b) || (IsType(b, GGML_TYPE_F16) && !IsType(a, GGML_TYPE_BF16)),
            "data of type F32, or F16 unless the kernel is BF16");
}

void Conv1Like(const Call& call, int64_t padding, int64_t dilation, bool deep) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvKernel(call);
  call.Shape(ConvFits(b->ne[0], a->ne[0], padding, dilation), kSmall);
  if (deep) {
    // [K, 1, C] and [L, C, 1].
    call.Shape(a->ne[1] == 1 && a->ne[3] == 1 && b->ne[3] == 1 && b->ne[2] == 1 && a->ne[2] == b->ne[1],
               "a [size, 1, channels] and b [length, channels]");
  } else {
    call.Shape(a->ne[1] == b->ne[1] && b->ne[3] == 1 && a->ne[3] == 1,
               "a [size, channels, filters] and b [length, channels, batch]");
  }
  call.Type(IsF32OrF16(a), "a kernel of type F32 or F16");
}

void Conv2Like(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvKernel(call);
  call.Shape(a->ne[2] == b->ne[2], "as many channels in a as in b");
  call.Type(IsF32OrF16(a), "a kernel of type F32 or F16");
}

void ConvOptions3(const Call& call, size_t from) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvOptions(call, from, 3);
  for (int i = 0; i < 3; ++i) {
    call.Shape(ConvFits(b->ne[i], a->ne[i], call.integer(from + 3 + i), call.integer(from + 6 + i)), kSmall);
  }
}

void PadBy(const Call& call, int count, bool circular) {
  T a = call.tensor(0);
  call.Type(IsF32(a), "F32");
  for (int i = 0; i < count; ++i) {
    const int dimension = count == 8 ? i / 2 : i;
    // Around the torus once, not more: ggml adds the length once.
    call.Range(1 + i, 0, circular ? std::min<int64_t>(a->ne[dimension], kMostSteps) : kMostSteps);
  }
}

}  // namespace

void None(const Call&) {}

void Repeats(const Call& call) {
  call.Shape(ggml_can_repeat(call.tensor(1), call.tensor(0)),
             "b to fit into a a whole number of times in each dimension");
}

void AddCast(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(a->ne[0] == b->ne[0] && ggml_can_repeat(b, a), "rows of one length, and b to fit into a");
  call.Type(IsQuantised(a) || IsType(a, GGML_TYPE_F16) || IsType(a, GGML_TYPE_BF16),
            "a of type F16, BF16 or quantised");
  call.Option(IsType(call, 2), "a type");
  call.Shape(Divides(ggml_blck_size(ggml_type(call.integer(2))), a->ne[0]), "rows of whole blocks of the type");
}

void AddId(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1), ids = call.tensor(2);
  call.Type(IsType(ids, GGML_TYPE_I32), "ids of type I32");
  call.Shape(a->ne[0] == b->ne[0] && a->ne[1] == ids->ne[0] && a->ne[2] == ids->ne[1],
             "a [n, used, tokens], b [n, …] and ids [used, tokens]");
}

void PieceOf(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(ggml_nelements(b) <= ggml_nelements(a), "b to be no larger than a");
  call.Shape(IsDense(a), "a to be contiguous (see cont)");
  call.Type(a->type == b->type && (IsF32(a) || IsType(a, GGML_TYPE_I32)), "both F32 or both I32");
  for (size_t i = 2; i < call.size(); ++i) call.Range(i, 0, (1 << 30) - 1);
  // The strides that are not given are a's own.
  for (int i = 1; i < GGML_MAX_DIMS; ++i) call.Shape(a->nb[i] < (1 << 30), "a of less than 1 GB");
}

void F32(const Call& call) { call.Type(IsF32(call.tensor(0)), "F32"); }
void Floats(const Call& call) { call.Type(IsFloat(call.tensor(0)), "F32, F16 or BF16"); }
void Matrix(const Call& call) { call.Shape(ggml_is_matrix(call.tensor(0)), "at most two dimensions"); }
void SameShape(const Call& call) {
  call.Shape(ggml_are_same_shape(call.tensor(0), call.tensor(1)), "a and b of one shape");
}

void Repeat(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(ggml_can_repeat(a, b), "a to fit into b a whole number of times in each dimension");
}
void Repeat4(const Call& call) {
  Elements(call, 1, 4);
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    call.Shape(Divides(call.tensor(0)->ne[i], call.integer(1 + i)), "multiples of a's dimensions");
  }
}
void RepeatBack(const Call& call) {
  F32(call);
  call.Shape(ggml_can_repeat(call.tensor(1), call.tensor(0)),
             "b to fit into a a whole number of times in each dimension");
}

void Concat(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Range(2, 0, GGML_MAX_DIMS - 1);
  call.Type(a->type == b->type, "a and b of one type");
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    call.Shape(i == call.integer(2) || a->ne[i] == b->ne[i], "equal dimensions beside the one that is joined");
  }
}

void Rows(const Call& call) {
  call.Type(!IsQuantised(call.tensor(0)), "a type that is not quantised");
  call.Shape(HasRows(call.tensor(0)), "the rows of a to be contiguous (see cont)");
}
void Unary(const Call& call) {
  Rows(call);
  call.Range(1, 0, GGML_UNARY_OP_COUNT - 1);
  // What it takes is set by ggml_xielu only.
  call.Option(call.integer(1) != GGML_UNARY_OP_XIELU, "an operation without parameters (see xielu)");
}

void Gated(const Call& call) {
  call.Type(IsF32OrF16(call.tensor(0)), "F32 or F16");
  call.Shape(ggml_is_contiguous_1(call.tensor(0)), "rows that follow one another (see cont)");
}
void GatedSplit(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  Gated(call);
  call.Type(a->type == b->type, "a and b of one type");
  call.Shape(ggml_is_contiguous_1(b) && ggml_are_same_shape(a, b),
             "a and b of one shape, with rows that follow one another");
}
void GatedAny(const Call& call) {
  Gated(call);
  call.Range(1, 0, GGML_GLU_OP_COUNT - 1);
}
void GatedSplitAny(const Call& call) {
  GatedSplit(call);
  call.Range(2, 0, GGML_GLU_OP_COUNT - 1);
}

void Epsilon(const Call& call) {
  call.Type(IsF32(call.tensor(0)), "F32");
  const size_t last = call.size() - 1;
  call.Option(call.real(last) >= 0, "eps to be a number of at least 0");
}
void GroupNorm(const Call& call) {
  Epsilon(call);
  call.Range(1, 1, std::min<int64_t>(call.tensor(0)->ne[2], INT32_MAX));
}

void Precision(const Call& call) {
  const int64_t p = call.integer(1);
  call.Option(p == GGML_PREC_DEFAULT || p == GGML_PREC_F32 || p == GGML_PREC_BF16 || p == GGML_PREC_F16,
              "undefined, f32, bf16 or f16");
  const ggml_op op = call.tensor(0)->op;
  call.Shape(op == GGML_OP_MUL_MAT || op == GGML_OP_MUL_MAT_ID || op == GGML_OP_FLASH_ATTN_EXT,
             "the result of mulMat, mulMatId or flashAttnExt");
}
void SourcePrecision(const Call& call) {
  const int64_t p = call.integer(1);
  call.Option(p == GGML_PREC_DEFAULT || p == GGML_PREC_F32 || p == GGML_PREC_BF16 || p == GGML_PREC_F16 ||
                  p == GGML_PREC_Q8 || p == GGML_PREC_Q4,
              "undefined, f32, bf16, f16, q8 or q4");
  call.Range(2, 1, 1);
  const ggml_op op = call.tensor(0)->op;
  call.Shape(op == GGML_OP_MUL_MAT || op == GGML_OP_MUL_MAT_ID, "the result of mulMat or mulMatId");
}
void Hint(const Call& call) {
  call.Range(1, GGML_HINT_NONE, GGML_HINT_SRC0_IS_HADAMARD);
  call.Shape(call.tensor(0)->op == GGML_OP_MUL_MAT, "the result of mulMat");
}

void MulMat(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(a->ne[0] == b->ne[0], "rows of a and b of one length");
  call.Shape(Divides(a->ne[2], b->ne[2]) && Divides(a->ne[3], b->ne[3]),
             "a's third and fourth dimension to divide b's");
  call.Shape(!ggml_is_transposed(a), "a not to be transposed (see cont)");
}
void MulMatId(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1), ids = call.tensor(2);
  call.Type(IsType(ids, GGML_TYPE_I32), "ids of type I32");
  call.Shape(!ggml_is_transposed(a), "as not to be transposed (see cont)");
  call.Shape(a->ne[3] == 1 && b->ne[3] == 1 && ids->ne[2] == 1 && ids->ne[3] == 1 && ids->ne[1] == b->ne[2] &&
                 a->ne[0] == b->ne[0] && Divides(b->ne[1], ids->ne[0]),
             "as [columns, rows, experts], b [columns, used or a divisor, tokens] and ids [used, tokens]");
}
void OutProd(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(a->ne[1] == b->ne[1] && Divides(a->ne[2], b->ne[2]) && Divides(a->ne[3], b->ne[3]),
             "as many rows in a as in b, and a's third and fourth dimension to divide b's");
  call.Shape(!ggml_is_transposed(a), "a not to be transposed (see cont)");
}

void Scale(const Call& call) {
  T a = call.tensor(0);
  call.Shape(IsDense(a) && IsPadded(a), "a to be contiguous (see cont)");
}
void Dense(const Call& call) { call.Shape(IsDense(call.tensor(0)), "a to be contiguous (see cont)"); }
void Copy(const Call& call) {
  call.Shape(ggml_nelements(call.tensor(0)) == ggml_nelements(call.tensor(1)), "as many elements in a as in b");
}
void Cast(const Call& call) {
  call.Option(IsType(call, 1), "a type");
  call.Shape(Divides(ggml_blck_size(ggml_type(call.integer(1))), call.tensor(0)->ne[0]),
             "rows of whole blocks of the type");
}

void Cont1(const Call& call) { Regroup(call, 1); }
void Cont2(const Call& call) { Regroup(call, 2); }
void Cont3(const Call& call) { Regroup(call, 3); }
void Cont4(const Call& call) { Regroup(call, 4); }
void ReshapeLike(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(ggml_is_contiguous(a), "a to be contiguous (see cont)");
  call.Shape(ggml_nelements(a) == ggml_nelements(b), "as many elements in a as in b");
  call.Shape(Divides(ggml_blck_size(a->type), b->ne[0]), "rows of whole blocks");
}
void Reshape1(const Call& call) { Reshape(call, 1); }
void Reshape2(const Call& call) { Reshape(call, 2); }
void Reshape3(const Call& call) { Reshape(call, 3); }
void Reshape4(const Call& call) { Reshape(call, 4); }
void View1(const Call& call) { View(call, 1); }
void View2(const Call& call) { View(call, 2); }
void View3(const Call& call) { View(call, 3); }
void View4(const Call& call) { View(call, 4); }

void Permute(const Call& call) {
  int seen = 0;
  for (size_t i = 1; i <= GGML_MAX_DIMS; ++i) {
    call.Range(i, 0, GGML_MAX_DIMS - 1);
    seen |= 1 << call.integer(i);
  }
  call.Option(seen == (1 << GGML_MAX_DIMS) - 1, "each axis from 0 to 3 once");
  call.Type(!IsQuantised(call.tensor(0)) || call.integer(1) == 0,
            "the first dimension of a quantised tensor to stay the first");
}
void Transpose(const Call& call) { call.Type(!IsQuantised(call.tensor(0)), "a type that is not quantised"); }

void GetRows(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Type(IsType(b, GGML_TYPE_I32), "b of type I32");
  call.Shape(a->ne[2] == b->ne[1] && a->ne[3] == b->ne[2] && b->ne[3] == 1, "a [n, rows, x, y] and b [indices, x, y]");
}
void GetRowsBack(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1), c = call.tensor(2);
  call.Type(IsType(b, GGML_TYPE_I32), "b of type I32");
  call.Shape(ggml_is_matrix(a) && ggml_is_vector(b) && ggml_is_matrix(c) && a->ne[0] == c->ne[0],
             "a [n, indices], b [indices] and c [n, rows]");
}
void SetRows(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1), c = call.tensor(2);
  call.Type(IsF32OrF16(b), "b of type F32 or F16");
  call.Type(IsType(c, GGML_TYPE_I64) || IsType(c, GGML_TYPE_I32), "c of type I64 or I32");
  call.Shape(a->ne[0] == b->ne[0] && a->ne[2] == b->ne[2] && a->ne[3] == b->ne[3] && b->ne[1] == c->ne[0] &&
                 c->ne[3] == 1 && Divides(c->ne[1], b->ne[2]) && Divides(c->ne[2], b->ne[3]),
             "a [n, rows, x, y], b [n, indices, x, y] and c [indices, x or a divisor, y or a divisor]");
  call.Shape(HasRows(a) && HasRows(b), "the rows of a and b to be contiguous (see cont)");
}

void Diag(const Call& call) { call.Shape(call.tensor(0)->ne[1] == 1, "a single row in each matrix"); }
void DiagMask(const Call& call) {
  F32(call);
  call.Range(1, 0, INT32_MAX);
}

void SoftMax(const Call& call) { Dense(call); }
void SoftMaxMasked(const Call& call) {
  T a = call.tensor(0), mask = call.tensor(1);
  Dense(call);
  call.Option(std::isfinite(call.real(3)) && (mask || call.real(3) <= 0),
              "max_bias to be finite, and 0 without a mask");
  if (!mask) return;
  call.Type(IsF32OrF16(mask), "a mask of type F32 or F16");
  call.Shape(IsDense(mask) && mask->ne[0] == a->ne[0] && mask->ne[1] >= a->ne[1] && Divides(mask->ne[2], a->ne[2]) &&
                 Divides(mask->ne[3], a->ne[3]),
             "a contiguous mask with a's columns, at least its rows, and further dimensions that divide a's");
}
void Sinks(const Call& call) {
  T a = call.tensor(0), sinks = call.tensor(1);
  call.Shape(a->op == GGML_OP_SOFT_MAX, "the result of softMax or softMaxExt");
  if (!sinks) return;
  call.Type(IsF32(sinks), "sinks of type F32");
  call.Shape(!a->src[2], "a soft max without sinks");
  call.Shape(a->src[0]->ne[2] == sinks->ne[0], "a sink for each head");
}

// a, b, and n_dims and mode at the end or where the table says.
void RopePositions(const Call& call, int64_t mode) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Type(IsType(b, GGML_TYPE_I32), "b of type I32");
  call.Shape(ggml_is_vector(b) && b->ne[0] == a->ne[2] * (mode & GGML_ROPE_TYPE_MROPE ? 4 : 1),
             "b to be a vector of positions, one for each of a's third dimension (four for M-RoPE)");
}
void Rope(const Call& call) {
  call.Range(2, 2, INT32_MAX);
  call.Option(call.integer(3) == GGML_ROPE_TYPE_NORMAL || call.integer(3) == GGML_ROPE_TYPE_NEOX,
              "mode to be 0 (normal) or 2 (NeoX)");
  RopePositions(call, call.integer(3));
}
void RopeFactors(const Call& call) {
  T c = call.tensor(2);
  call.Range(3, 2, INT32_MAX);
  if (!c) return;
  call.Type(IsF32(c), "c of type F32");
  call.Shape(c->ne[0] >= call.integer(3) / 2, "c to have a factor for each pair");
}
void RopeExt(const Call& call) {
  RopeFactors(call);
  call.Option(call.integer(4) == GGML_ROPE_TYPE_NORMAL || call.integer(4) == GGML_ROPE_TYPE_NEOX,
              "mode to be 0 (normal) or 2 (NeoX); see ropeMulti for others");
  RopePositions(call, call.integer(4));
}
void RopeMulti(const Call& call) {
  RopeFactors(call);
  call.Range(5, 0, 255);
  call.Option((call.integer(5) & 1) == 0, "an even mode");
  RopePositions(call, call.integer(5));
}
void RopeOffset(const Call& call) {
  T a = call.tensor(0);
  call.Shape(a->op == GGML_OP_ROPE || a->op == GGML_OP_ROPE_BACK, "the result of a rope operation");
  call.Range(1, 0, std::min<int64_t>(a->ne[0], INT32_MAX));
  call.Option(a->op_params[2] != GGML_ROPE_TYPE_VISION, "a mode other than vision");
}

void ImageToColumns(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  const bool image = call.integer(8) != 0;
  const int64_t type = call.integer(9);
  call.Type(type == GGML_TYPE_F32 || type == GGML_TYPE_F16, "F32 or F16 as type of the result");
  if (image) {
    ConvOutput2(call);
    call.Shape(a->ne[2] == b->ne[2], "as many channels in a as in b");
    return;
  }
  for (size_t i : {2, 6}) call.Range(i, 1, kMostSteps);
  for (size_t i : {3, 4, 5, 7}) call.Range(i, 0, kMostSteps);
  call.Shape(b->ne[1] == a->ne[1] && b->ne[3] == 1, "a [size, channels, filters] and b [length, channels, batch]");
  call.Shape(ConvFits(b->ne[0], a->ne[0], call.integer(4), call.integer(6)), kSmall);
}
void ColumnsToImage(const Call& call) {
  for (const int64_t n : call.argument(2).list) call.Option(n >= 1 && n <= INT32_MAX, "ne of four positive integers");
  ConvOptions(call, 3, 2);
}

void Conv1(const Call& call) {
  ConvOptions(call, 2, 1);
  Conv1Like(call, call.integer(3), call.integer(4), false);
}
void Conv1Half(const Call& call) {
  ConvOptions(call, 2, 1, false);
  Conv1Like(call, call.tensor(0)->ne[0] / 2, call.integer(3), false);
}
void Conv1Deep(const Call& call) {
  ConvOptions(call, 2, 1);
  Conv1Like(call, call.integer(3), call.integer(4), true);
}
void Conv1DeepHalf(const Call& call) {
  ConvOptions(call, 2, 1, false);
  Conv1Like(call, call.tensor(0)->ne[0] / 2, call.integer(3), true);
}
void ColumnsToSignal(const Call& call) {
  T a = call.tensor(0);
  call.Type(IsFloat(a), "F32, F16 or BF16");
  call.Shape(ggml_is_matrix(a) && IsDense(a), "a contiguous matrix");
  call.Range(1, 1, kMostSteps);
  call.Range(2, 1, INT32_MAX);
  call.Range(3, 0, kMostSteps);
  const int64_t size = a->ne[0] / call.integer(2);
  call.Shape(size > 0 && Divides(call.integer(2), a->ne[0]), "columns of a whole number of kernels");
  call.Shape((a->ne[1] - 1) * call.integer(1) + size - 2 * call.integer(3) > 0, "less padding than there is signal");
}
void ConvTranspose1(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Range(2, 1, kMostSteps);
  call.Range(3, 0, 0);
  call.Range(4, 1, 1);
  call.Shape(ggml_is_matrix(b) && a->ne[2] == b->ne[1] && a->ne[3] == 1, "a [size, out, in] and b [length, in]");
}

void Conv2(const Call& call) {
  ConvOutput2(call);
  Conv2Like(call);
}
void Conv2Patches(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(ConvFits(b->ne[0], a->ne[0], 0, 1) && ConvFits(b->ne[1], a->ne[1], 0, 1), kSmall);
  Conv2Like(call);
}
void Conv2Half(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Shape(ConvFits(b->ne[0], a->ne[0], a->ne[0] / 2, 1) && ConvFits(b->ne[1], a->ne[1], a->ne[1] / 2, 1), kSmall);
  Conv2Like(call);
}
void Conv2Deep(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvOutput2(call);
  ConvKernel(call);
  call.Type(IsF32OrF16(a), "a kernel of type F32 or F16");
  call.Shape(a->ne[2] == 1 && a->ne[3] == b->ne[2],
             "a [width, height, 1, channels] and b [width, height, channels, batch]");
}
void Conv2DeepDirect(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvOutput2(call);
  call.Type(IsF32(b), "b of type F32");
  call.Shape(a->ne[2] == 1 && a->ne[3] == b->ne[2],
             "a [width, height, 1, channels] and b [width, height, channels, batch]");
}
void Conv2Direct(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvOutput2(call);
  call.Type(IsF32(b), "b of type F32");
  call.Shape(a->ne[2] == b->ne[2], "as many channels in a as in b");
}
void ConvTranspose2(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Range(2, 1, kMostSteps);
  call.Shape(a->ne[3] == b->ne[2], "as many channels in a's fourth dimension as in b's third");
}
void Channels3(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Range(2, 1, INT32_MAX);
  call.Shape(Divides(call.integer(2), a->ne[3]) && Divides(call.integer(2), b->ne[3]),
             "IC to divide the fourth dimension of a and b");
}
void ImageToColumns3(const Call& call) {
  Channels3(call);
  ConvOptions3(call, 3);
  const int64_t type = call.integer(12);
  call.Type(type == GGML_TYPE_F32 || type == GGML_TYPE_F16, "F32 or F16 as type of the result");
}
void Conv3(const Call& call) {
  Channels3(call);
  ConvOptions3(call, 3);
  ConvKernel(call);
  call.Type(IsF32OrF16(call.tensor(0)) && IsF32(call.tensor(1)), "a kernel of type F32 or F16, and data of type F32");
}
void Conv3Direct(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  ConvOptions3(call, 2);
  for (size_t i = 11; i < 14; ++i) call.Range(i, 1, INT32_MAX);
  call.Shape(a->ne[3] == call.integer(11) * call.integer(13) && b->ne[3] == call.integer(11) * call.integer(12),
             "n_channels * n_channels_out in a's fourth dimension and n_channels * n_batch in b's");
}

void Pool1(const Call& call) {
  T a = call.tensor(0);
  call.Range(1, 0, GGML_OP_POOL_COUNT - 1);
  call.Range(2, 1, kMostSteps);
  call.Range(3, 1, kMostSteps);
  call.Range(4, 0, kMostSteps);
  call.Shape(a->ne[0] + 2 * call.integer(4) >= call.integer(2), kSmall);
}
void PoolOptions(const Call& call, size_t from) {
  call.Range(from, 0, GGML_OP_POOL_COUNT - 1);
  for (size_t i = 1; i <= 4; ++i) call.Range(from + i, 1, 1 << 15);
  for (size_t i = 5; i <= 6; ++i) {
    const float padding = call.real(from + i);
    call.Option(padding >= 0 && padding <= (1 << 15) && std::trunc(padding) == padding,
                "paddings of whole numbers up to 32768");
  }
}
void Pool2(const Call& call) {
  T a = call.tensor(0);
  PoolOptions(call, 1);
  call.Shape(a->ne[0] + 2 * call.integer(6) >= call.integer(2) && a->ne[1] + 2 * call.integer(7) >= call.integer(3),
             kSmall);
}
void Pool2Back(const Call& call) { PoolOptions(call, 2); }

void Upscale(const Call& call) {
  F32(call);
  call.Range(1, 2, 1 << 10);
  call.Range(2, 0, GGML_SCALE_MODE_COUNT - 1);
}
void Interpolate(const Call& call) {
  F32(call);
  Elements(call, 1, 4);
  const int64_t mode = call.integer(5), kind = mode & 0xff;
  call.Option(kind < GGML_SCALE_MODE_COUNT &&
                  (mode & ~int64_t(0xff | GGML_SCALE_FLAG_ALIGN_CORNERS | GGML_SCALE_FLAG_ANTIALIAS)) == 0,
              "mode to be nearest, bilinear or bicubic, and flags");
  call.Option(!(mode & GGML_SCALE_FLAG_ANTIALIAS) || kind == GGML_SCALE_MODE_BILINEAR, "antialias with bilinear only");
}
void Pad(const Call& call) { PadBy(call, 4, false); }
void PadCircular(const Call& call) { PadBy(call, 4, true); }
void PadEnds(const Call& call) { PadBy(call, 8, false); }
void PadEndsCircular(const Call& call) { PadBy(call, 8, true); }
void PadReflect(const Call& call) {
  F32(call);
  Dense(call);
  for (size_t i = 1; i <= 2; ++i) call.Range(i, 0, std::min<int64_t>(call.tensor(0)->ne[0] - 1, INT32_MAX));
}
void Roll(const Call& call) {
  F32(call);
  call.Shape(HasRows(call.tensor(0)), "the rows of a to be contiguous (see cont)");
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    call.Range(1 + i, 1 - call.tensor(0)->ne[i], call.tensor(0)->ne[i] - 1);
  }
}
void Timesteps(const Call& call) {
  F32(call);
  call.Shape(ggml_is_vector(call.tensor(0)), "a vector of timesteps");
  call.Range(1, 1, kMostSteps);
  call.Range(2, 1, INT32_MAX);
}
void Fill(const Call& call) {
  call.Type(IsF32OrF16(call.tensor(0)), "F32 or F16");
  Dense(call);
}
void Triangle(const Call& call) {
  F32(call);
  Dense(call);
  call.Shape(call.tensor(0)->ne[0] == call.tensor(0)->ne[1], "square matrices");
  call.Range(1, GGML_TRI_TYPE_UPPER_DIAG, GGML_TRI_TYPE_LOWER);
}
void Sort(const Call& call) {
  F32(call);
  call.Range(1, GGML_SORT_ORDER_ASC, GGML_SORT_ORDER_DESC);
}
void TopK(const Call& call) {
  F32(call);
  call.Range(1, 1, std::min<int64_t>(call.tensor(0)->ne[0], INT32_MAX));
}
void Range(const Call& call) {
  const float start = call.real(0), stop = call.real(1), step = call.real(2);
  const bool ok = std::isfinite(start) && std::isfinite(stop) && std::isfinite(step) && stop > start && step > 0;
  call.Option(ok && std::ceil((stop - start) / step) >= 1 && (stop - start) / step < float(INT32_MAX),
              "start < stop and a step that reaches it");
}

void FlashAttention(const Call& call) {
  T q = call.tensor(0), k = call.tensor(1), v = call.tensor(2), mask = call.tensor(3);
  call.Shape(k->ne[0] == q->ne[0] && Divides(k->ne[2], q->ne[2]) && q->ne[3] == k->ne[3] && q->ne[3] == v->ne[3],
             "q [n, queries, heads, batch] and k [n, keys, heads or a divisor, batch]");
  call.Option(std::isfinite(call.real(5)) && (mask || call.real(5) <= 0),
              "max_bias to be finite, and 0 without a mask");
  if (!mask) return;
  call.Type(IsType(mask, GGML_TYPE_F16), "a mask of type F16");
  call.Shape(IsDense(mask) && Divides(mask->ne[2], q->ne[2]) && Divides(mask->ne[3], q->ne[3]),
             "a contiguous mask whose third and fourth dimension divide q's");
}
void IsFlash(const Call& call) {
  call.Shape(call.tensor(0)->op == GGML_OP_FLASH_ATTN_EXT, "the result of flashAttnExt");
}
void FlashSinks(const Call& call) {
  T a = call.tensor(0), sinks = call.tensor(1);
  IsFlash(call);
  if (!sinks) return;
  call.Type(IsF32(sinks), "sinks of type F32");
  call.Shape(!a->src[4], "attention without sinks");
  call.Shape(a->src[0]->ne[2] == sinks->ne[0], "a sink for each head");
}
void FlashLength(const Call& call) {
  IsFlash(call);
  call.Range(1, 0, INT32_MAX);
}

void StateConv(const Call& call) {
  T sx = call.tensor(0), c = call.tensor(1);
  call.Shape(sx->ne[3] == 1 && ggml_is_matrix(c) && sx->ne[1] == c->ne[1] && sx->ne[0] >= c->ne[0],
             "sx [size - 1 + tokens, inner, sequences] and c [size, inner]");
}
void StateScan(const Call& call) {
  T s = call.tensor(0), x = call.tensor(1), dt = call.tensor(2), a = call.tensor(3), b = call.tensor(4),
    c = call.tensor(5), ids = call.tensor(6);
  call.Type(IsType(ids, GGML_TYPE_I32), "ids of type I32");
  for (size_t i = 0; i < 6; ++i) call.Type(IsF32(call.tensor(i)), "every tensor but ids to be of type F32");
  call.Shape(ggml_is_contiguous(s) && ggml_is_contiguous(dt) && ggml_is_contiguous(a), "contiguous s, dt and A");
  for (T t : {x, b, c}) {
    call.Shape(HasRows(t) && t->nb[1] == size_t(t->ne[0]) * t->nb[0], "x, B and C with rows that follow one another");
  }
  call.Shape(ggml_are_same_shape(b, c) && dt->ne[0] == x->ne[1] && dt->ne[1] == x->ne[2] && dt->ne[2] == x->ne[3] &&
                 dt->ne[3] == 1 && s->ne[1] == x->ne[0] && s->ne[2] == x->ne[1] && b->ne[0] == s->ne[0] &&
                 b->ne[2] == x->ne[2] && b->ne[3] == x->ne[3] && ggml_is_vector(ids) && ids->ne[0] == x->ne[3] &&
                 ggml_is_matrix(a) && a->ne[1] == x->ne[1],
             "s [state, dim, heads, sequences], x [dim, heads, tokens, batch], dt [heads, tokens, batch], A [1 or "
             "state, heads], "
             "B and C [state, groups, tokens, batch] and ids [batch]");
  call.Range(7, 1, kMostSteps);
  const double states =
      double(call.integer(7)) * double(s->ne[0]) * double(s->ne[1]) * double(s->ne[2]) * double(ids->ne[0]);
  call.Shape(states + double(ggml_nelements(x)) <= double(INT32_MAX), "a result of at most 2^31 - 1 elements");
  call.Shape(a->ne[0] == 1 || (a->ne[0] == s->ne[0] && call.integer(7) == 1),
             "A [1, heads], or A [state, heads] and K of 1");
}

void WindowPart(const Call& call) {
  F32(call);
  call.Shape(call.tensor(0)->ne[3] == 1, "at most three dimensions");
  call.Range(1, 1, 1 << 15);
}
void WindowUnpart(const Call& call) {
  T a = call.tensor(0);
  F32(call);
  for (size_t i = 1; i <= 3; ++i) call.Range(i, 1, 1 << 15);
  const int64_t w = call.integer(3), across = (call.integer(1) + w - 1) / w, down = (call.integer(2) + w - 1) / w;
  call.Shape(a->ne[1] == w && a->ne[2] == w && a->ne[3] >= across * down, "a [n, w, w, windows] with all windows");
}
void RelativePositions(const Call& call) {
  T a = call.tensor(0);
  call.Range(1, 1, 1 << 20);
  call.Option(call.integer(1) == call.integer(2), "qh and kh to be equal");
  call.Shape(2 * call.integer(1) - 1 == a->ne[1], "a [n, 2 * qh - 1]");
}
void AddRelativePositions(const Call& call) {
  T a = call.tensor(0), pw = call.tensor(1), ph = call.tensor(2);
  for (size_t i = 0; i < 3; ++i) {
    call.Type(IsF32(call.tensor(i)), "F32");
    call.Shape(IsDense(call.tensor(i)), "contiguous tensors");
  }
  call.Shape(ggml_are_same_shape(pw, ph) && pw->ne[3] == a->ne[2] && a->ne[3] == 1 &&
                 pw->ne[0] * pw->ne[0] == a->ne[0] && pw->ne[1] * pw->ne[2] == a->ne[1],
             "pw and ph [n, h, w, heads] and a [n * n, h * w, heads]");
}

void RecurrentLike(const Call& call, int last, int without) {
  T first = call.tensor(0), state = call.tensor(last);
  for (int i = 0; i <= last; ++i) {
    T t = call.tensor(i);
    call.Type(IsF32(t), "F32");
    call.Shape(IsDense(t), "contiguous tensors");
    if (i == last || i == without) continue;
    call.Shape(t->ne[0] == first->ne[0] && t->ne[1] == first->ne[1] && t->ne[2] == first->ne[2] && t->ne[3] == 1,
               "tensors [size, heads, tokens] of one shape");
  }
  call.Shape(ggml_nelements(state) == first->ne[0] * first->ne[0] * first->ne[1] * state->ne[1],
             "state [size * size * heads, sequences]");
}
void Recurrent6(const Call& call) { RecurrentLike(call, 5, 3); }
void Recurrent7(const Call& call) { RecurrentLike(call, 6, -1); }
void GatedLinear(const Call& call) { RecurrentLike(call, 4, -1); }

void SolveTriangle(const Call& call) {
  T a = call.tensor(0), b = call.tensor(1);
  call.Type(IsF32(a) && IsF32(b), "F32");
  call.Shape(IsDense(a) && IsDense(b), "contiguous tensors");
  call.Shape(a->ne[0] == a->ne[1] && a->ne[1] == b->ne[1] && a->ne[2] == b->ne[2] && a->ne[3] == b->ne[3],
             "a [n, n, x, y] and b [m, n, x, y]");
  call.Option(call.integer(2) && call.integer(3) && !call.integer(4),
              "left and lower to be true, and uni false: ggml has no other");
}
void DeltaNet(const Call& call) {
  T v = call.tensor(2), g = call.tensor(3), beta = call.tensor(4), state = call.tensor(5);
  for (size_t i = 0; i < 6; ++i) {
    call.Type(IsF32(call.tensor(i)), "F32");
    call.Shape(i < 3 ? HasRows(call.tensor(i)) : IsDense(call.tensor(i)), "contiguous tensors");
  }
  call.Shape(
      (g->ne[0] == 1 || g->ne[0] == v->ne[0]) && beta->ne[0] == 1 && state->ne[0] == v->ne[0] &&
          state->ne[1] == v->ne[0] && state->ne[2] == v->ne[1] && state->ne[3] == v->ne[3],
      "v [size, heads, tokens, sequences], g [1 or size, …], beta [1, …] and state [size, size, heads, sequences]");
  call.Range(6, 1, kMostSteps);
}
void Indexer(const Call& call) {
  T q = call.tensor(0), k = call.tensor(1), w = call.tensor(2), m = call.tensor(3);
  call.Type(IsF32(q) && IsF32(w) && IsType(m, GGML_TYPE_F16), "q and weights of type F32 and a mask of type F16");
  call.Shape(q->ne[0] == k->ne[0] && m->ne[0] == k->ne[2] && q->ne[1] == w->ne[0] && k->ne[1] == 1 &&
                 m->ne[1] == q->ne[2] && q->ne[2] == w->ne[1] && w->ne[2] == 1 && m->ne[2] == 1 &&
                 q->ne[3] == k->ne[3] && k->ne[3] == w->ne[3] && Divides(m->ne[3], w->ne[3]),
             "q [n, heads, batch, x], k [n, 1, keys, x], weights [heads, batch, 1, x] and mask [keys, batch, 1, x or a "
             "divisor]");
}
void Combine(const Call& call) {
  T mixes = call.tensor(0), scale = call.tensor(1), base = call.tensor(2);
  for (size_t i = 0; i < 3; ++i) call.Type(IsF32(call.tensor(i)), "F32");
  call.Range(4, 1, 1 << 16);
  call.Shape(mixes->ne[0] == 24 && mixes->ne[2] == 1 && mixes->ne[3] == 1 && ggml_is_vector(scale) &&
                 scale->ne[0] >= 3 && ggml_is_vector(base) && base->ne[0] == 24,
             "mixes [24, tokens], scale [3] and base [24]");
}
void CombineWeights(const Call& call, bool gated) {
  T x = call.tensor(0), w = call.tensor(1);
  call.Type(IsF32(x) && IsF32(w), "F32");
  const bool fits =
      gated ? ggml_are_same_shape(x, w) : w->ne[0] == x->ne[1] && w->ne[1] == x->ne[2] && ggml_is_matrix(w);
  call.Shape(x->ne[3] == 1 && fits,
             gated ? "x and gate [n, hc, tokens]" : "x [n, hc, tokens] and weights [hc, tokens]");
}
void CombineBefore(const Call& call) { CombineWeights(call, false); }
void CombineGated(const Call& call) { CombineWeights(call, true); }
void CombineAfter(const Call& call) {
  T x = call.tensor(0), r = call.tensor(1), post = call.tensor(2), comb = call.tensor(3);
  for (size_t i = 0; i < 4; ++i) call.Type(!call.tensor(i) || IsF32(call.tensor(i)), "F32");
  call.Shape(ggml_is_matrix(x) && r->ne[0] == x->ne[0] && r->ne[2] == x->ne[1] && r->ne[3] == 1 &&
                 ggml_is_matrix(post) && post->ne[0] == r->ne[1] && post->ne[1] == x->ne[1] &&
                 (!comb ||
                  (comb->ne[0] == r->ne[1] && comb->ne[1] == r->ne[1] && comb->ne[2] == x->ne[1] && comb->ne[3] == 1)),
             "x [n, tokens], residual [n, hc, tokens], post [hc, tokens] and comb [hc, hc, tokens]");
}

void LossBack(const Call& call) {
  call.Shape(ggml_is_scalar(call.tensor(0)), "a to be a single number");
  call.Shape(ggml_are_same_shape(call.tensor(1), call.tensor(2)), "b and c of one shape");
  call.Type(IsF32(call.tensor(1)), "F32");
}
void Step(const Call& call, int moments, int64_t parameters) {
  T a = call.tensor(0), last = call.tensor(1 + moments);
  call.Shape(a->flags & GGML_TENSOR_FLAG_PARAM, "a to be a parameter (see Tensor.setParam)");
  for (int i = 1; i <= moments; ++i)
    call.Shape(ggml_are_same_shape(a, call.tensor(i)), "gradient and moments of a's shape");
  call.Type(IsF32(last), "parameters of type F32");
  call.Shape(ggml_nelements(last) == parameters, parameters == 7
                                                     ? "seven parameters: alpha, beta1, beta2, eps, wd, beta1h, beta2h"
                                                     : "two parameters: alpha and wd");
}
void AdamW(const Call& call) { Step(call, 3, 7); }
void Sgd(const Call& call) { Step(call, 1, 2); }

}  // namespace sotto::rules
