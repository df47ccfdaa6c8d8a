// operations.ts: made by scripts/make-ggml-operations.mjs out of ggml.h, whose comments these are; not edited by hand.

import { choice } from './choices.js'
import type { Tensor } from './tensor.js'
import { type TensorTypeName, typeNumber } from './types.js'

const numbers = {
  GluOp: {
    reglu: 0,
    geglu: 1,
    swiglu: 2,
    swiglu_oai: 3,
    geglu_erf: 4,
    geglu_quick: 5,
    swiglu_clamp: 6,
  },
  OpHint: { none: 0, src0_is_hadamard: 1 },
  PoolOp: { max: 0, avg: 1 },
  Precision: { undefined: 0, default: 0, f32: 10, bf16: 15, f16: 20, q8: 30, q4: 40 },
  ScaleMode: { nearest: 0, bilinear: 1, bicubic: 2 },
  SortOrder: { asc: 0, desc: 1 },
  TriangleType: { upper_diag: 0, upper: 1, lower_diag: 2, lower: 3 },
  UnaryOp: {
    abs: 0,
    sgn: 1,
    neg: 2,
    step: 3,
    tanh: 4,
    elu: 5,
    relu: 6,
    sigmoid: 7,
    gelu: 8,
    gelu_quick: 9,
    silu: 10,
    hardswish: 11,
    hardsigmoid: 12,
    exp: 13,
    expm1: 14,
    softplus: 15,
    gelu_erf: 16,
    xielu: 17,
    floor: 18,
    ceil: 19,
    round: 20,
    trunc: 21,
  },
} as const

/** `enum ggml_glu_op` of ggml.h. */
export type GluOp = keyof (typeof numbers)['GluOp']
/** `enum ggml_op_hint` of ggml.h. */
export type OpHint = keyof (typeof numbers)['OpHint']
/** `enum ggml_op_pool` of ggml.h. */
export type PoolOp = keyof (typeof numbers)['PoolOp']
/** `enum ggml_prec` of ggml.h. */
export type Precision = keyof (typeof numbers)['Precision']
/** `enum ggml_scale_mode` of ggml.h. */
export type ScaleMode = keyof (typeof numbers)['ScaleMode']
/** `enum ggml_sort_order` of ggml.h. */
export type SortOrder = keyof (typeof numbers)['SortOrder']
/** `enum ggml_tri_type` of ggml.h. */
export type TriangleType = keyof (typeof numbers)['TriangleType']
/** `enum ggml_unary_op` of ggml.h. */
export type UnaryOp = keyof (typeof numbers)['UnaryOp']

/**
 * ggml's operations. Each makes a tensor of the context that it is called on, or changes one; nothing is computed until a graph is.
 *
 * Errors: `ERR_TENSOR_SHAPE`, `ERR_TENSOR_TYPE`, `ERR_TENSOR_MEMORY`, `ERR_TENSOR_FOREIGN`, `ERR_TENSOR_BUSY`, `ERR_TENSOR_CLOSED`,
 * `ERR_OPTION_INVALID`.
 */
export abstract class Operations {
  /** @internal */
  protected abstract run(name: string, values: unknown[]): Tensor

  /** `ggml_dup` */
  dup(a: Tensor): Tensor {
    return this.run('ggml_dup', [a])
  }

  /**
   * `ggml_dup_inplace`
   * in-place, returns view(a)
   */
  dupInplace(a: Tensor): Tensor {
    return this.run('ggml_dup_inplace', [a])
  }

  /** `ggml_add` */
  add(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_add', [a, b])
  }

  /** `ggml_add_inplace` */
  addInplace(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_add_inplace', [a, b])
  }

  /** `ggml_add_cast` */
  addCast(a: Tensor, b: Tensor, type: TensorTypeName): Tensor {
    return this.run('ggml_add_cast', [a, b, typeNumber('type', type)])
  }

  /**
   * `ggml_add_id`
   * dst[i0, i1, i2] = a[i0, i1, i2] + b[i0, ids[i1, i2]]
   */
  addId(a: Tensor, b: Tensor, ids: Tensor): Tensor {
    return this.run('ggml_add_id', [a, b, ids])
  }

  /**
   * `ggml_acc`
   * dst = a
   * view(dst, nb1, nb2, nb3, offset) += b
   * return dst
   */
  acc(a: Tensor, b: Tensor, nb1: number, nb2: number, nb3: number, offset: number): Tensor {
    return this.run('ggml_acc', [a, b, nb1, nb2, nb3, offset])
  }

  /** `ggml_acc_inplace` */
  accInplace(a: Tensor, b: Tensor, nb1: number, nb2: number, nb3: number, offset: number): Tensor {
    return this.run('ggml_acc_inplace', [a, b, nb1, nb2, nb3, offset])
  }

  /** `ggml_sub` */
  sub(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_sub', [a, b])
  }

  /** `ggml_sub_inplace` */
  subInplace(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_sub_inplace', [a, b])
  }

  /** `ggml_mul` */
  mul(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_mul', [a, b])
  }

  /** `ggml_mul_inplace` */
  mulInplace(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_mul_inplace', [a, b])
  }

  /** `ggml_div` */
  div(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_div', [a, b])
  }

  /** `ggml_div_inplace` */
  divInplace(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_div_inplace', [a, b])
  }

  /** `ggml_sqr` */
  sqr(a: Tensor): Tensor {
    return this.run('ggml_sqr', [a])
  }

  /** `ggml_sqr_inplace` */
  sqrInplace(a: Tensor): Tensor {
    return this.run('ggml_sqr_inplace', [a])
  }

  /** `ggml_sqrt` */
  sqrt(a: Tensor): Tensor {
    return this.run('ggml_sqrt', [a])
  }

  /** `ggml_sqrt_inplace` */
  sqrtInplace(a: Tensor): Tensor {
    return this.run('ggml_sqrt_inplace', [a])
  }

  /** `ggml_log` */
  log(a: Tensor): Tensor {
    return this.run('ggml_log', [a])
  }

  /** `ggml_log_inplace` */
  logInplace(a: Tensor): Tensor {
    return this.run('ggml_log_inplace', [a])
  }

  /** `ggml_expm1` */
  expm1(a: Tensor): Tensor {
    return this.run('ggml_expm1', [a])
  }

  /** `ggml_expm1_inplace` */
  expm1Inplace(a: Tensor): Tensor {
    return this.run('ggml_expm1_inplace', [a])
  }

  /** `ggml_softplus` */
  softplus(a: Tensor): Tensor {
    return this.run('ggml_softplus', [a])
  }

  /** `ggml_softplus_inplace` */
  softplusInplace(a: Tensor): Tensor {
    return this.run('ggml_softplus_inplace', [a])
  }

  /** `ggml_sin` */
  sin(a: Tensor): Tensor {
    return this.run('ggml_sin', [a])
  }

  /** `ggml_sin_inplace` */
  sinInplace(a: Tensor): Tensor {
    return this.run('ggml_sin_inplace', [a])
  }

  /** `ggml_cos` */
  cos(a: Tensor): Tensor {
    return this.run('ggml_cos', [a])
  }

  /** `ggml_cos_inplace` */
  cosInplace(a: Tensor): Tensor {
    return this.run('ggml_cos_inplace', [a])
  }

  /**
   * `ggml_sum`
   * return scalar
   */
  sum(a: Tensor): Tensor {
    return this.run('ggml_sum', [a])
  }

  /**
   * `ggml_sum_rows`
   * sums along rows, with input shape [a,b,c,d] return shape [1,b,c,d]
   */
  sumRows(a: Tensor): Tensor {
    return this.run('ggml_sum_rows', [a])
  }

  /** `ggml_cumsum` */
  cumsum(a: Tensor): Tensor {
    return this.run('ggml_cumsum', [a])
  }

  /**
   * `ggml_mean`
   * mean along rows
   */
  mean(a: Tensor): Tensor {
    return this.run('ggml_mean', [a])
  }

  /**
   * `ggml_argmax`
   * argmax along rows
   */
  argmax(a: Tensor): Tensor {
    return this.run('ggml_argmax', [a])
  }

  /**
   * `ggml_count_equal`
   * count number of equal elements in a and b
   */
  countEqual(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_count_equal', [a, b])
  }

  /**
   * `ggml_repeat`
   * if a is the same shape as b, and a is not parameter, return a
   * otherwise, return a new tensor: repeat(a) to fit in b
   */
  repeat(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_repeat', [a, b])
  }

  /**
   * `ggml_repeat_4d`
   * repeat a to the specified shape
   */
  repeat4d(a: Tensor, ne0: number, ne1: number, ne2: number, ne3: number): Tensor {
    return this.run('ggml_repeat_4d', [a, ne0, ne1, ne2, ne3])
  }

  /**
   * `ggml_repeat_back`
   * sums repetitions in a into shape of b
   */
  repeatBack(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_repeat_back', [a, b])
  }

  /**
   * `ggml_concat`
   * concat a and b along dim
   * used in stable-diffusion
   */
  concat(a: Tensor, b: Tensor, dim: number): Tensor {
    return this.run('ggml_concat', [a, b, dim])
  }

  /** `ggml_abs` */
  abs(a: Tensor): Tensor {
    return this.run('ggml_abs', [a])
  }

  /** `ggml_abs_inplace` */
  absInplace(a: Tensor): Tensor {
    return this.run('ggml_abs_inplace', [a])
  }

  /** `ggml_sgn` */
  sgn(a: Tensor): Tensor {
    return this.run('ggml_sgn', [a])
  }

  /** `ggml_sgn_inplace` */
  sgnInplace(a: Tensor): Tensor {
    return this.run('ggml_sgn_inplace', [a])
  }

  /** `ggml_neg` */
  neg(a: Tensor): Tensor {
    return this.run('ggml_neg', [a])
  }

  /** `ggml_neg_inplace` */
  negInplace(a: Tensor): Tensor {
    return this.run('ggml_neg_inplace', [a])
  }

  /** `ggml_step` */
  step(a: Tensor): Tensor {
    return this.run('ggml_step', [a])
  }

  /** `ggml_step_inplace` */
  stepInplace(a: Tensor): Tensor {
    return this.run('ggml_step_inplace', [a])
  }

  /** `ggml_tanh` */
  tanh(a: Tensor): Tensor {
    return this.run('ggml_tanh', [a])
  }

  /** `ggml_tanh_inplace` */
  tanhInplace(a: Tensor): Tensor {
    return this.run('ggml_tanh_inplace', [a])
  }

  /** `ggml_elu` */
  elu(a: Tensor): Tensor {
    return this.run('ggml_elu', [a])
  }

  /** `ggml_elu_inplace` */
  eluInplace(a: Tensor): Tensor {
    return this.run('ggml_elu_inplace', [a])
  }

  /** `ggml_relu` */
  relu(a: Tensor): Tensor {
    return this.run('ggml_relu', [a])
  }

  /** `ggml_leaky_relu` */
  leakyRelu(a: Tensor, negativeSlope: number, inplace: boolean): Tensor {
    return this.run('ggml_leaky_relu', [a, negativeSlope, inplace])
  }

  /** `ggml_relu_inplace` */
  reluInplace(a: Tensor): Tensor {
    return this.run('ggml_relu_inplace', [a])
  }

  /** `ggml_sigmoid` */
  sigmoid(a: Tensor): Tensor {
    return this.run('ggml_sigmoid', [a])
  }

  /** `ggml_sigmoid_inplace` */
  sigmoidInplace(a: Tensor): Tensor {
    return this.run('ggml_sigmoid_inplace', [a])
  }

  /** `ggml_gelu` */
  gelu(a: Tensor): Tensor {
    return this.run('ggml_gelu', [a])
  }

  /** `ggml_gelu_inplace` */
  geluInplace(a: Tensor): Tensor {
    return this.run('ggml_gelu_inplace', [a])
  }

  /**
   * `ggml_gelu_erf`
   * GELU using erf (error function) when possible
   * some backends may fallback to approximation based on Abramowitz and Stegun formula
   */
  geluErf(a: Tensor): Tensor {
    return this.run('ggml_gelu_erf', [a])
  }

  /** `ggml_gelu_erf_inplace` */
  geluErfInplace(a: Tensor): Tensor {
    return this.run('ggml_gelu_erf_inplace', [a])
  }

  /** `ggml_gelu_quick` */
  geluQuick(a: Tensor): Tensor {
    return this.run('ggml_gelu_quick', [a])
  }

  /** `ggml_gelu_quick_inplace` */
  geluQuickInplace(a: Tensor): Tensor {
    return this.run('ggml_gelu_quick_inplace', [a])
  }

  /** `ggml_silu` */
  silu(a: Tensor): Tensor {
    return this.run('ggml_silu', [a])
  }

  /** `ggml_silu_inplace` */
  siluInplace(a: Tensor): Tensor {
    return this.run('ggml_silu_inplace', [a])
  }

  /**
   * `ggml_silu_back`
   * a - dy
   * b - x
   */
  siluBack(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_silu_back', [a, b])
  }

  /**
   * `ggml_hardswish`
   * hardswish(x) = x * relu6(x + 3) / 6
   */
  hardswish(a: Tensor): Tensor {
    return this.run('ggml_hardswish', [a])
  }

  /**
   * `ggml_hardsigmoid`
   * hardsigmoid(x) = relu6(x + 3) / 6
   */
  hardsigmoid(a: Tensor): Tensor {
    return this.run('ggml_hardsigmoid', [a])
  }

  /** `ggml_exp` */
  exp(a: Tensor): Tensor {
    return this.run('ggml_exp', [a])
  }

  /** `ggml_exp_inplace` */
  expInplace(a: Tensor): Tensor {
    return this.run('ggml_exp_inplace', [a])
  }

  /** `ggml_floor` */
  floor(a: Tensor): Tensor {
    return this.run('ggml_floor', [a])
  }

  /** `ggml_floor_inplace` */
  floorInplace(a: Tensor): Tensor {
    return this.run('ggml_floor_inplace', [a])
  }

  /** `ggml_ceil` */
  ceil(a: Tensor): Tensor {
    return this.run('ggml_ceil', [a])
  }

  /** `ggml_ceil_inplace` */
  ceilInplace(a: Tensor): Tensor {
    return this.run('ggml_ceil_inplace', [a])
  }

  /** `ggml_round` */
  round(a: Tensor): Tensor {
    return this.run('ggml_round', [a])
  }

  /** `ggml_round_inplace` */
  roundInplace(a: Tensor): Tensor {
    return this.run('ggml_round_inplace', [a])
  }

  /** `ggml_trunc` */
  trunc(a: Tensor): Tensor {
    return this.run('ggml_trunc', [a])
  }

  /** `ggml_trunc_inplace` */
  truncInplace(a: Tensor): Tensor {
    return this.run('ggml_trunc_inplace', [a])
  }

  /**
   * `ggml_xielu`
   * xIELU activation function
   * x = x * (c_a(alpha_n) + c_b(alpha_p, beta) * sigmoid(beta * x)) + eps * (x > 0)
   * where c_a = softplus and c_b(a, b) = softplus(a) + b are constraining functions
   * that constrain the positive and negative source alpha values respectively
   */
  xielu(a: Tensor, alphaN: number, alphaP: number, beta: number, eps: number): Tensor {
    return this.run('ggml_xielu', [a, alphaN, alphaP, beta, eps])
  }

  /**
   * `ggml_glu`
   * gated linear unit ops
   * A: n columns, r rows,
   * result is n / 2 columns, r rows,
   * expects gate in second half of row, unless swapped is true
   */
  glu(a: Tensor, op: GluOp, swapped: boolean): Tensor {
    return this.run('ggml_glu', [a, choice('op', op, numbers.GluOp), swapped])
  }

  /** `ggml_reglu` */
  reglu(a: Tensor): Tensor {
    return this.run('ggml_reglu', [a])
  }

  /** `ggml_reglu_swapped` */
  regluSwapped(a: Tensor): Tensor {
    return this.run('ggml_reglu_swapped', [a])
  }

  /** `ggml_geglu` */
  geglu(a: Tensor): Tensor {
    return this.run('ggml_geglu', [a])
  }

  /** `ggml_geglu_swapped` */
  gegluSwapped(a: Tensor): Tensor {
    return this.run('ggml_geglu_swapped', [a])
  }

  /** `ggml_swiglu` */
  swiglu(a: Tensor): Tensor {
    return this.run('ggml_swiglu', [a])
  }

  /** `ggml_swiglu_swapped` */
  swigluSwapped(a: Tensor): Tensor {
    return this.run('ggml_swiglu_swapped', [a])
  }

  /** `ggml_geglu_erf` */
  gegluErf(a: Tensor): Tensor {
    return this.run('ggml_geglu_erf', [a])
  }

  /** `ggml_geglu_erf_swapped` */
  gegluErfSwapped(a: Tensor): Tensor {
    return this.run('ggml_geglu_erf_swapped', [a])
  }

  /** `ggml_geglu_quick` */
  gegluQuick(a: Tensor): Tensor {
    return this.run('ggml_geglu_quick', [a])
  }

  /** `ggml_geglu_quick_swapped` */
  gegluQuickSwapped(a: Tensor): Tensor {
    return this.run('ggml_geglu_quick_swapped', [a])
  }

  /**
   * `ggml_glu_split`
   * A: n columns, r rows,
   * B: n columns, r rows,
   */
  gluSplit(a: Tensor, b: Tensor, op: GluOp): Tensor {
    return this.run('ggml_glu_split', [a, b, choice('op', op, numbers.GluOp)])
  }

  /** `ggml_reglu_split` */
  regluSplit(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_reglu_split', [a, b])
  }

  /** `ggml_geglu_split` */
  gegluSplit(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_geglu_split', [a, b])
  }

  /** `ggml_swiglu_split` */
  swigluSplit(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_swiglu_split', [a, b])
  }

  /** `ggml_geglu_erf_split` */
  gegluErfSplit(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_geglu_erf_split', [a, b])
  }

  /** `ggml_geglu_quick_split` */
  gegluQuickSplit(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_geglu_quick_split', [a, b])
  }

  /** `ggml_swiglu_oai` */
  swigluOai(a: Tensor, b: Tensor, alpha: number, limit: number): Tensor {
    return this.run('ggml_swiglu_oai', [a, b, alpha, limit])
  }

  /** `ggml_swiglu_clamp` */
  swigluClamp(a: Tensor, b: Tensor, limit: number): Tensor {
    return this.run('ggml_swiglu_clamp', [a, b, limit])
  }

  /**
   * `ggml_norm`
   * normalize along rows
   */
  norm(a: Tensor, eps: number): Tensor {
    return this.run('ggml_norm', [a, eps])
  }

  /** `ggml_norm_inplace` */
  normInplace(a: Tensor, eps: number): Tensor {
    return this.run('ggml_norm_inplace', [a, eps])
  }

  /** `ggml_rms_norm` */
  rmsNorm(a: Tensor, eps: number): Tensor {
    return this.run('ggml_rms_norm', [a, eps])
  }

  /** `ggml_rms_norm_inplace` */
  rmsNormInplace(a: Tensor, eps: number): Tensor {
    return this.run('ggml_rms_norm_inplace', [a, eps])
  }

  /**
   * `ggml_group_norm`
   * group normalize along ne0*ne1*n_groups
   * used in stable-diffusion
   */
  groupNorm(a: Tensor, nGroups: number, eps: number): Tensor {
    return this.run('ggml_group_norm', [a, nGroups, eps])
  }

  /** `ggml_group_norm_inplace` */
  groupNormInplace(a: Tensor, nGroups: number, eps: number): Tensor {
    return this.run('ggml_group_norm_inplace', [a, nGroups, eps])
  }

  /**
   * `ggml_l2_norm`
   * l2 normalize along rows
   * used in rwkv v7
   */
  l2Norm(a: Tensor, eps: number): Tensor {
    return this.run('ggml_l2_norm', [a, eps])
  }

  /** `ggml_l2_norm_inplace` */
  l2NormInplace(a: Tensor, eps: number): Tensor {
    return this.run('ggml_l2_norm_inplace', [a, eps])
  }

  /**
   * `ggml_rms_norm_back`
   * a - x
   * b - dy
   */
  rmsNormBack(a: Tensor, b: Tensor, eps: number): Tensor {
    return this.run('ggml_rms_norm_back', [a, b, eps])
  }

  /**
   * `ggml_prec_set_acc`
   * [TAG_GGML_PREC]
   * set the minimum required accumulator type for the implementation to use during the compute
   * for example:
   *  - GGML_PREC_F32  - requires accumulation of the results in F32
   *  - GGML_PREC_BF16 - can accumulate the results in BF16, F32
   *  - GGML_PREC_F16  - can accumulate the results in F16, F32
   *  - GGML_PREC_Q8   - not allowed
   *  - GGML_PREC_Q4   - not allowed
   * return false on faliure
   */
  precSetAcc(a: Tensor, prec: Precision): Tensor {
    this.run('ggml_prec_set_acc', [a, choice('prec', prec, numbers.Precision)])
    return a
  }

  /**
   * `ggml_prec_set_src`
   * [TAG_GGML_PREC]
   * set the smallest rank that the implementation can use to internally convert the src[idx] data to
   * ranks in decreasing order:
   *  - GGML_PREC_F32  - GGML_TYPE_F32
   *  - GGML_PREC_BF16 - GGML_TYPE_BF16
   *  - GGML_PREC_F16  - GGML_TYPE_F16,
   *  - GGML_PREC_Q8   - GGML_TYPE_Q8_0, GGML_TYPE_Q8_1, GGML_TYPE_Q8_K, etc.
   *  - GGML_PREC_Q4   - GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q4_K, GGML_TYPE_NVFP4, GGML_TYPE_MXFP4, etc.
   * for example:
   *   - ggml_prec_set_src(a, GGML_PREC_Q8, 1):
   *     - allows the implementation to quantize F32, BF16, F16 data of src[1] down to GGML_TYPE_Q8_0
   *     - cannot quantize it down to GGML_TYPE_Q4_0 or GGML_TYPE_NVFP4
   *   - ggml_prec_set_src(a, GGML_PREC_Q4, 1):
   *     - allows the implementation to quantize F32, BF16, F16 data of src[1] down to 4-bit datatypes such as GGML_TYPE_Q4_K, GGML_TYPE_NVFP4 etc.
   * return false on faliure
   */
  precSetSrc(a: Tensor, prec: Precision, idx: number): Tensor {
    this.run('ggml_prec_set_src', [a, choice('prec', prec, numbers.Precision), idx])
    return a
  }

  /**
   * `ggml_mul_mat`
   * A: k columns, n rows => [ne03, ne02, n, k]
   * B: k columns, m rows  (i.e. we transpose it internally) => [ne03 * x, ne02 * y, m, k]
   * result is n columns, m rows => [ne03 * x, ne02 * y, m, n]
   */
  mulMat(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_mul_mat', [a, b])
  }

  /**
   * `ggml_mul_mat_set_hint`
   * change the hint of a matrix multiplication
   */
  mulMatSetHint(a: Tensor, hint: OpHint): Tensor {
    this.run('ggml_mul_mat_set_hint', [a, choice('hint', hint, numbers.OpHint)])
    return a
  }

  /**
   * `ggml_mul_mat_id`
   * indirect matrix multiplication
   */
  mulMatId(as: Tensor, b: Tensor, ids: Tensor): Tensor {
    return this.run('ggml_mul_mat_id', [as, b, ids])
  }

  /**
   * `ggml_out_prod`
   * A: m columns, n rows,
   * B: p columns, n rows,
   * result is m columns, p rows
   */
  outProd(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_out_prod', [a, b])
  }

  /** `ggml_scale` */
  scale(a: Tensor, s: number): Tensor {
    return this.run('ggml_scale', [a, s])
  }

  /**
   * `ggml_scale_inplace`
   * in-place, returns view(a)
   */
  scaleInplace(a: Tensor, s: number): Tensor {
    return this.run('ggml_scale_inplace', [a, s])
  }

  /**
   * `ggml_scale_bias`
   * x = s * a + b
   */
  scaleBias(a: Tensor, s: number, b: number): Tensor {
    return this.run('ggml_scale_bias', [a, s, b])
  }

  /** `ggml_scale_bias_inplace` */
  scaleBiasInplace(a: Tensor, s: number, b: number): Tensor {
    return this.run('ggml_scale_bias_inplace', [a, s, b])
  }

  /**
   * `ggml_set`
   * b -> view(a,offset,nb1,nb2,3), return modified a
   */
  set(a: Tensor, b: Tensor, nb1: number, nb2: number, nb3: number, offset: number): Tensor {
    return this.run('ggml_set', [a, b, nb1, nb2, nb3, offset])
  }

  /**
   * `ggml_set_inplace`
   * b -> view(a,offset,nb1,nb2,3), return view(a)
   */
  setInplace(a: Tensor, b: Tensor, nb1: number, nb2: number, nb3: number, offset: number): Tensor {
    return this.run('ggml_set_inplace', [a, b, nb1, nb2, nb3, offset])
  }

  /** `ggml_set_1d` */
  set1d(a: Tensor, b: Tensor, offset: number): Tensor {
    return this.run('ggml_set_1d', [a, b, offset])
  }

  /** `ggml_set_1d_inplace` */
  set1dInplace(a: Tensor, b: Tensor, offset: number): Tensor {
    return this.run('ggml_set_1d_inplace', [a, b, offset])
  }

  /**
   * `ggml_set_2d`
   * b -> view(a,offset,nb1,nb2,3), return modified a
   */
  set2d(a: Tensor, b: Tensor, nb1: number, offset: number): Tensor {
    return this.run('ggml_set_2d', [a, b, nb1, offset])
  }

  /**
   * `ggml_set_2d_inplace`
   * b -> view(a,offset,nb1,nb2,3), return view(a)
   */
  set2dInplace(a: Tensor, b: Tensor, nb1: number, offset: number): Tensor {
    return this.run('ggml_set_2d_inplace', [a, b, nb1, offset])
  }

  /**
   * `ggml_cpy`
   * a -> b, return view(b)
   */
  cpy(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_cpy', [a, b])
  }

  /**
   * `ggml_cast`
   * note: casting from f32 to i32 will discard the fractional part
   */
  cast(a: Tensor, type: TensorTypeName): Tensor {
    return this.run('ggml_cast', [a, typeNumber('type', type)])
  }

  /**
   * `ggml_cont`
   * make contiguous
   */
  cont(a: Tensor): Tensor {
    return this.run('ggml_cont', [a])
  }

  /**
   * `ggml_cont_1d`
   * make contiguous, with new shape
   */
  cont1d(a: Tensor, ne0: number): Tensor {
    return this.run('ggml_cont_1d', [a, ne0])
  }

  /** `ggml_cont_2d` */
  cont2d(a: Tensor, ne0: number, ne1: number): Tensor {
    return this.run('ggml_cont_2d', [a, ne0, ne1])
  }

  /** `ggml_cont_3d` */
  cont3d(a: Tensor, ne0: number, ne1: number, ne2: number): Tensor {
    return this.run('ggml_cont_3d', [a, ne0, ne1, ne2])
  }

  /** `ggml_cont_4d` */
  cont4d(a: Tensor, ne0: number, ne1: number, ne2: number, ne3: number): Tensor {
    return this.run('ggml_cont_4d', [a, ne0, ne1, ne2, ne3])
  }

  /**
   * `ggml_reshape`
   * return view(a), b specifies the new shape
   * TODO: when we start computing gradient, make a copy instead of view
   */
  reshape(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_reshape', [a, b])
  }

  /**
   * `ggml_reshape_1d`
   * return view(a)
   * TODO: when we start computing gradient, make a copy instead of view
   */
  reshape1d(a: Tensor, ne0: number): Tensor {
    return this.run('ggml_reshape_1d', [a, ne0])
  }

  /** `ggml_reshape_2d` */
  reshape2d(a: Tensor, ne0: number, ne1: number): Tensor {
    return this.run('ggml_reshape_2d', [a, ne0, ne1])
  }

  /**
   * `ggml_reshape_3d`
   * return view(a)
   * TODO: when we start computing gradient, make a copy instead of view
   */
  reshape3d(a: Tensor, ne0: number, ne1: number, ne2: number): Tensor {
    return this.run('ggml_reshape_3d', [a, ne0, ne1, ne2])
  }

  /** `ggml_reshape_4d` */
  reshape4d(a: Tensor, ne0: number, ne1: number, ne2: number, ne3: number): Tensor {
    return this.run('ggml_reshape_4d', [a, ne0, ne1, ne2, ne3])
  }

  /**
   * `ggml_view_1d`
   * offset in bytes
   */
  view1d(a: Tensor, ne0: number, offset: number): Tensor {
    return this.run('ggml_view_1d', [a, ne0, offset])
  }

  /** `ggml_view_2d` */
  view2d(a: Tensor, ne0: number, ne1: number, nb1: number, offset: number): Tensor {
    return this.run('ggml_view_2d', [a, ne0, ne1, nb1, offset])
  }

  /** `ggml_view_3d` */
  view3d(
    a: Tensor,
    ne0: number,
    ne1: number,
    ne2: number,
    nb1: number,
    nb2: number,
    offset: number,
  ): Tensor {
    return this.run('ggml_view_3d', [a, ne0, ne1, ne2, nb1, nb2, offset])
  }

  /** `ggml_view_4d` */
  view4d(
    a: Tensor,
    ne0: number,
    ne1: number,
    ne2: number,
    ne3: number,
    nb1: number,
    nb2: number,
    nb3: number,
    offset: number,
  ): Tensor {
    return this.run('ggml_view_4d', [a, ne0, ne1, ne2, ne3, nb1, nb2, nb3, offset])
  }

  /** `ggml_permute` */
  permute(a: Tensor, axis0: number, axis1: number, axis2: number, axis3: number): Tensor {
    return this.run('ggml_permute', [a, axis0, axis1, axis2, axis3])
  }

  /**
   * `ggml_transpose`
   * alias for ggml_permute(ctx, a, 1, 0, 2, 3)
   */
  transpose(a: Tensor): Tensor {
    return this.run('ggml_transpose', [a])
  }

  /**
   * `ggml_get_rows`
   * supports 4D a:
   * a     [n_embd, ne1, ne2, ne3]
   * b I32 [n_rows, ne2, ne3, 1]
   * return [n_embd, n_rows, ne2, ne3]
   */
  getRows(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_get_rows', [a, b])
  }

  /** `ggml_get_rows_back` */
  getRowsBack(a: Tensor, b: Tensor, c: Tensor): Tensor {
    return this.run('ggml_get_rows_back', [a, b, c])
  }

  /**
   * `ggml_set_rows`
   * a TD  [n_embd, ne1,    ne2,    ne3]
   * b TS  [n_embd, n_rows, ne02,   ne03] | ne02 == ne2, ne03 == ne3
   * c I64 [n_rows, ne11,   ne12,   1]    | c[i] in [0, ne1)
   * undefined behavior if destination rows overlap
   * broadcast:
   *   ne2 % ne11 == 0
   *   ne3 % ne12 == 0
   * return view(a)
   */
  setRows(a: Tensor, b: Tensor, c: Tensor): Tensor {
    return this.run('ggml_set_rows', [a, b, c])
  }

  /** `ggml_diag` */
  diag(a: Tensor): Tensor {
    return this.run('ggml_diag', [a])
  }

  /**
   * `ggml_diag_mask_inf`
   * set elements above the diagonal to -INF
   */
  diagMaskInf(a: Tensor, nPast: number): Tensor {
    return this.run('ggml_diag_mask_inf', [a, nPast])
  }

  /**
   * `ggml_diag_mask_inf_inplace`
   * in-place, returns view(a)
   */
  diagMaskInfInplace(a: Tensor, nPast: number): Tensor {
    return this.run('ggml_diag_mask_inf_inplace', [a, nPast])
  }

  /**
   * `ggml_diag_mask_zero`
   * set elements above the diagonal to 0
   */
  diagMaskZero(a: Tensor, nPast: number): Tensor {
    return this.run('ggml_diag_mask_zero', [a, nPast])
  }

  /**
   * `ggml_diag_mask_zero_inplace`
   * in-place, returns view(a)
   */
  diagMaskZeroInplace(a: Tensor, nPast: number): Tensor {
    return this.run('ggml_diag_mask_zero_inplace', [a, nPast])
  }

  /** `ggml_clamp` */
  clamp(a: Tensor, min: number, max: number): Tensor {
    return this.run('ggml_clamp', [a, min, max])
  }

  /**
   * `ggml_clamp_inplace`
   * in-place, returns view(a)
   */
  clampInplace(a: Tensor, min: number, max: number): Tensor {
    return this.run('ggml_clamp_inplace', [a, min, max])
  }

  /** `ggml_soft_max` */
  softMax(a: Tensor): Tensor {
    return this.run('ggml_soft_max', [a])
  }

  /**
   * `ggml_soft_max_inplace`
   * in-place, returns view(a)
   */
  softMaxInplace(a: Tensor): Tensor {
    return this.run('ggml_soft_max_inplace', [a])
  }

  /**
   * `ggml_soft_max_ext`
   * a    [ne0, ne01, ne02, ne03]
   * mask [ne0, ne11, ne12, ne13] | ne11 >= ne01, F16 or F32, optional
   * broadcast:
   *   ne02 % ne12 == 0
   *   ne03 % ne13 == 0
   * fused soft_max(a*scale + mask*(ALiBi slope))
   * max_bias = 0.0f for no ALiBi
   */
  softMaxExt(a: Tensor, mask: Tensor | null, scale: number, maxBias: number): Tensor {
    return this.run('ggml_soft_max_ext', [a, mask, scale, maxBias])
  }

  /** `ggml_soft_max_ext_inplace` */
  softMaxExtInplace(a: Tensor, mask: Tensor | null, scale: number, maxBias: number): Tensor {
    return this.run('ggml_soft_max_ext_inplace', [a, mask, scale, maxBias])
  }

  /** `ggml_soft_max_add_sinks` */
  softMaxAddSinks(a: Tensor, sinks: Tensor | null): Tensor {
    this.run('ggml_soft_max_add_sinks', [a, sinks])
    return a
  }

  /** `ggml_soft_max_ext_back` */
  softMaxExtBack(a: Tensor, b: Tensor, scale: number, maxBias: number): Tensor {
    return this.run('ggml_soft_max_ext_back', [a, b, scale, maxBias])
  }

  /**
   * `ggml_soft_max_ext_back_inplace`
   * in-place, returns view(a)
   */
  softMaxExtBackInplace(a: Tensor, b: Tensor, scale: number, maxBias: number): Tensor {
    return this.run('ggml_soft_max_ext_back_inplace', [a, b, scale, maxBias])
  }

  /**
   * `ggml_rope`
   * rotary position embedding
   * if (mode & 1) - skip n_past elements (NOT SUPPORTED)
   * if (mode & GGML_ROPE_TYPE_NEOX) - GPT-NeoX style
   * b is an int32 vector with size a->ne[2], it contains the positions
   */
  rope(a: Tensor, b: Tensor, nDims: number, mode: number): Tensor {
    return this.run('ggml_rope', [a, b, nDims, mode])
  }

  /**
   * `ggml_rope_inplace`
   * in-place, returns view(a)
   */
  ropeInplace(a: Tensor, b: Tensor, nDims: number, mode: number): Tensor {
    return this.run('ggml_rope_inplace', [a, b, nDims, mode])
  }

  /**
   * `ggml_rope_ext`
   * RoPE operations with extended options
   * a is the input tensor to apply RoPE to, shape [n_embd, n_head, n_token]
   * b is an int32 vector with size n_token
   * c is freq factors (e.g. phi3-128k), (optional)
   * mode can be GGML_ROPE_TYPE_NORMAL or NEOX; for MROPE and VISION mode, use ggml_rope_multi
   * pseudo-code for computing theta:
   *   for i in [0, n_dims/2):
   *     theta[i] = b[i] * powf(freq_base, -2.0 * i / n_dims);
   *     theta[i] = theta[i] / c[i];  # if c is provided, divide theta by c
   *     theta[i] = rope_yarn(theta[i], ...);  # note: theta = theta * freq_scale is applied here
   * other params are used by YaRN RoPE scaling, these default values will disable YaRN:
   *   freq_scale  = 1.0f
   *   ext_factor  = 0.0f
   *   attn_factor = 1.0f
   *   beta_fast   = 0.0f
   *   beta_slow   = 0.0f
   * example:
   *   (marking: c = cos, s = sin, 0 = unrotated)
   *   given a single head with size = 8 --> [00000000]
   *   GGML_ROPE_TYPE_NORMAL  n_dims = 4 --> [cscs0000]
   *   GGML_ROPE_TYPE_NORMAL  n_dims = 8 --> [cscscscs]
   *   GGML_ROPE_TYPE_NEOX    n_dims = 4 --> [ccss0000]
   *   GGML_ROPE_TYPE_NEOX    n_dims = 8 --> [ccccssss]
   */
  ropeExt(
    a: Tensor,
    b: Tensor,
    c: Tensor | null,
    nDims: number,
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ): Tensor {
    return this.run('ggml_rope_ext', [
      a,
      b,
      c,
      nDims,
      mode,
      nCtxOrig,
      freqBase,
      freqScale,
      extFactor,
      attnFactor,
      betaFast,
      betaSlow,
    ])
  }

  /**
   * `ggml_rope_multi`
   * multi-dimensional RoPE, for Qwen-VL and similar vision models
   * mode can be either VISION, MROPE, IMROPE, cannot be combined with NORMAL or NEOX
   * sections specify how many dimensions to rotate in each section:
   *   section length is equivalent to number of cos/sin pairs, NOT the number of dims
   *   (i.e. sum of 4 sections are expected to be n_dims/2)
   *   last sections can be 0, means ignored
   * all other options are identical to ggml_rope_ext
   * important note:
   *   - NEOX ordering is automatically applied and cannot be disabled for MROPE and VISION
   *     if you need normal ordering, there are 2 methods:
   *     (1) split the tensor manually using ggml_view
   *     (2) permute the weight upon conversion
   *   - for VISION, n_dims must be head_size/2
   * example M-RoPE:
   *  given sections = [t=4, y=2, x=2, 0]
   *  given a single head with size = 18 --> [000000000000000000]
   *  GGML_ROPE_TYPE_MROPE   n_dims = 16 --> [ttttyyxxttttyyxx00] (cos/sin are applied in NEOX ordering)
   *  GGML_ROPE_TYPE_IMROPE  n_dims = 16 --> [ttyxttyxttyxttyx00] (interleaved M-RoPE, still NEOX ordering)
   *  note: the theta for each dim is computed the same way as ggml_rope_ext, no matter the section
   *        in other words, idx used for theta: [0123456789... until n_dims/2], not reset for each section
   * example vision RoPE:
   *  given sections = [y=4, x=4, 0, 0] (last 2 sections are ignored)
   *  given a single head with size = 8 --> [00000000]
   *  GGML_ROPE_TYPE_VISION  n_dims = 4 --> [yyyyxxxx]
   *  other values of n_dims are untested and is undefined behavior
   *  note: unlike MROPE, the theta for each dim is computed differently for each section
   *        in other words, idx used for theta: [0123] for y section, then [0123] for x section
   */
  ropeMulti(
    a: Tensor,
    b: Tensor,
    c: Tensor | null,
    nDims: number,
    sections: readonly number[],
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ): Tensor {
    return this.run('ggml_rope_multi', [
      a,
      b,
      c,
      nDims,
      sections,
      mode,
      nCtxOrig,
      freqBase,
      freqScale,
      extFactor,
      attnFactor,
      betaFast,
      betaSlow,
    ])
  }

  /**
   * `ggml_rope_ext_inplace`
   * in-place, returns view(a)
   */
  ropeExtInplace(
    a: Tensor,
    b: Tensor,
    c: Tensor | null,
    nDims: number,
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ): Tensor {
    return this.run('ggml_rope_ext_inplace', [
      a,
      b,
      c,
      nDims,
      mode,
      nCtxOrig,
      freqBase,
      freqScale,
      extFactor,
      attnFactor,
      betaFast,
      betaSlow,
    ])
  }

  /** `ggml_rope_multi_inplace` */
  ropeMultiInplace(
    a: Tensor,
    b: Tensor,
    c: Tensor | null,
    nDims: number,
    sections: readonly number[],
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ): Tensor {
    return this.run('ggml_rope_multi_inplace', [
      a,
      b,
      c,
      nDims,
      sections,
      mode,
      nCtxOrig,
      freqBase,
      freqScale,
      extFactor,
      attnFactor,
      betaFast,
      betaSlow,
    ])
  }

  /**
   * `ggml_rope_ext_back`
   * rotary position embedding backward, i.e compute dx from dy
   * a - dy
   */
  ropeExtBack(
    a: Tensor,
    b: Tensor,
    c: Tensor | null,
    nDims: number,
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ): Tensor {
    return this.run('ggml_rope_ext_back', [
      a,
      b,
      c,
      nDims,
      mode,
      nCtxOrig,
      freqBase,
      freqScale,
      extFactor,
      attnFactor,
      betaFast,
      betaSlow,
    ])
  }

  /** `ggml_rope_multi_back` */
  ropeMultiBack(
    a: Tensor,
    b: Tensor,
    c: Tensor | null,
    nDims: number,
    sections: readonly number[],
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ): Tensor {
    return this.run('ggml_rope_multi_back', [
      a,
      b,
      c,
      nDims,
      sections,
      mode,
      nCtxOrig,
      freqBase,
      freqScale,
      extFactor,
      attnFactor,
      betaFast,
      betaSlow,
    ])
  }

  /**
   * `ggml_rope_set_offset`
   * set the offset dims for RoPE
   * a must be GGML_OP_ROPE or GGML_OP_ROPE_BACK
   * vision RoPE is not supported
   * example: (marking: x = rotated, 0 = unrotated)
   *     n_embd = 10, n_dims = 4, offset = 2 --> [00xxxx0000]
   */
  ropeSetOffset(a: Tensor, nOffs: number): Tensor {
    this.run('ggml_rope_set_offset', [a, nOffs])
    return a
  }

  /**
   * `ggml_im2col`
   * im2col
   * converts data into a format that effectively results in a convolution when combined with matrix multiplication
   */
  im2col(
    a: Tensor,
    b: Tensor,
    s0: number,
    s1: number,
    p0: number,
    p1: number,
    d0: number,
    d1: number,
    is2D: boolean,
    dstType: TensorTypeName,
  ): Tensor {
    return this.run('ggml_im2col', [
      a,
      b,
      s0,
      s1,
      p0,
      p1,
      d0,
      d1,
      is2D,
      typeNumber('dstType', dstType),
    ])
  }

  /** `ggml_im2col_back` */
  im2colBack(
    a: Tensor,
    b: Tensor,
    ne: readonly number[],
    s0: number,
    s1: number,
    p0: number,
    p1: number,
    d0: number,
    d1: number,
    is2D: boolean,
  ): Tensor {
    return this.run('ggml_im2col_back', [a, b, ne, s0, s1, p0, p1, d0, d1, is2D])
  }

  /**
   * `ggml_col2im_1d`
   * col2im_1d: scatter-add GEMM columns back to 1D signal
   * a: [K*OC, T_in]  (columns from matmul, K = a->ne[0]/OC)
   * result: [T_out, OC]  where T_out = (T_in - 1)*s0 + K - 2*p0
   */
  col2im1d(a: Tensor, s0: number, oc: number, p0: number): Tensor {
    return this.run('ggml_col2im_1d', [a, s0, oc, p0])
  }

  /** `ggml_conv_1d` */
  conv1d(a: Tensor, b: Tensor, s0: number, p0: number, d0: number): Tensor {
    return this.run('ggml_conv_1d', [a, b, s0, p0, d0])
  }

  /**
   * `ggml_conv_1d_ph`
   * conv_1d with padding = half
   * alias for ggml_conv_1d(a, b, s, a->ne[0]/2, d)
   */
  conv1dPh(a: Tensor, b: Tensor, s: number, d: number): Tensor {
    return this.run('ggml_conv_1d_ph', [a, b, s, d])
  }

  /**
   * `ggml_conv_1d_dw`
   * depthwise
   * TODO: this is very likely wrong for some cases! - needs more testing
   */
  conv1dDw(a: Tensor, b: Tensor, s0: number, p0: number, d0: number): Tensor {
    return this.run('ggml_conv_1d_dw', [a, b, s0, p0, d0])
  }

  /** `ggml_conv_1d_dw_ph` */
  conv1dDwPh(a: Tensor, b: Tensor, s0: number, d0: number): Tensor {
    return this.run('ggml_conv_1d_dw_ph', [a, b, s0, d0])
  }

  /** `ggml_conv_transpose_1d` */
  convTranspose1d(a: Tensor, b: Tensor, s0: number, p0: number, d0: number): Tensor {
    return this.run('ggml_conv_transpose_1d', [a, b, s0, p0, d0])
  }

  /** `ggml_conv_2d` */
  conv2d(
    a: Tensor,
    b: Tensor,
    s0: number,
    s1: number,
    p0: number,
    p1: number,
    d0: number,
    d1: number,
  ): Tensor {
    return this.run('ggml_conv_2d', [a, b, s0, s1, p0, p1, d0, d1])
  }

  /** `ggml_im2col_3d` */
  im2col3d(
    a: Tensor,
    b: Tensor,
    IC: number,
    s0: number,
    s1: number,
    s2: number,
    p0: number,
    p1: number,
    p2: number,
    d0: number,
    d1: number,
    d2: number,
    dstType: TensorTypeName,
  ): Tensor {
    return this.run('ggml_im2col_3d', [
      a,
      b,
      IC,
      s0,
      s1,
      s2,
      p0,
      p1,
      p2,
      d0,
      d1,
      d2,
      typeNumber('dstType', dstType),
    ])
  }

  /**
   * `ggml_conv_3d`
   * a: [OC*IC, KD, KH, KW]
   * b: [N*IC, ID, IH, IW]
   * result: [N*OC, OD, OH, OW]
   */
  conv3d(
    a: Tensor,
    b: Tensor,
    IC: number,
    s0: number,
    s1: number,
    s2: number,
    p0: number,
    p1: number,
    p2: number,
    d0: number,
    d1: number,
    d2: number,
  ): Tensor {
    return this.run('ggml_conv_3d', [a, b, IC, s0, s1, s2, p0, p1, p2, d0, d1, d2])
  }

  /**
   * `ggml_conv_2d_sk_p0`
   * kernel size is a->ne[0] x a->ne[1]
   * stride is equal to kernel size
   * padding is zero
   * example:
   * a:     16   16    3  768
   * b:   1024 1024    3    1
   * res:   64   64  768    1
   * used in sam
   */
  conv2dSkP0(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_conv_2d_sk_p0', [a, b])
  }

  /**
   * `ggml_conv_2d_s1_ph`
   * kernel size is a->ne[0] x a->ne[1]
   * stride is 1
   * padding is half
   * example:
   * a:      3    3    256  256
   * b:     64   64    256    1
   * res:   64   64    256    1
   * used in sam
   */
  conv2dS1Ph(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_conv_2d_s1_ph', [a, b])
  }

  /**
   * `ggml_conv_2d_dw`
   * depthwise (via im2col and mul_mat)
   */
  conv2dDw(
    a: Tensor,
    b: Tensor,
    s0: number,
    s1: number,
    p0: number,
    p1: number,
    d0: number,
    d1: number,
  ): Tensor {
    return this.run('ggml_conv_2d_dw', [a, b, s0, s1, p0, p1, d0, d1])
  }

  /**
   * `ggml_conv_2d_dw_direct`
   * Depthwise 2D convolution
   * may be faster than ggml_conv_2d_dw, but not available in all backends
   * a:   KW    KH    1    C    convolution kernel
   * b:   W     H     C    N    input data
   * res: W_out H_out C    N
   */
  conv2dDwDirect(
    a: Tensor,
    b: Tensor,
    stride0: number,
    stride1: number,
    pad0: number,
    pad1: number,
    dilation0: number,
    dilation1: number,
  ): Tensor {
    return this.run('ggml_conv_2d_dw_direct', [
      a,
      b,
      stride0,
      stride1,
      pad0,
      pad1,
      dilation0,
      dilation1,
    ])
  }

  /** `ggml_conv_transpose_2d_p0` */
  convTranspose2dP0(a: Tensor, b: Tensor, stride: number): Tensor {
    return this.run('ggml_conv_transpose_2d_p0', [a, b, stride])
  }

  /** `ggml_conv_2d_direct` */
  conv2dDirect(
    a: Tensor,
    b: Tensor,
    s0: number,
    s1: number,
    p0: number,
    p1: number,
    d0: number,
    d1: number,
  ): Tensor {
    return this.run('ggml_conv_2d_direct', [a, b, s0, s1, p0, p1, d0, d1])
  }

  /** `ggml_conv_3d_direct` */
  conv3dDirect(
    a: Tensor,
    b: Tensor,
    s0: number,
    s1: number,
    s2: number,
    p0: number,
    p1: number,
    p2: number,
    d0: number,
    d1: number,
    d2: number,
    nChannels: number,
    nBatch: number,
    nChannelsOut: number,
  ): Tensor {
    return this.run('ggml_conv_3d_direct', [
      a,
      b,
      s0,
      s1,
      s2,
      p0,
      p1,
      p2,
      d0,
      d1,
      d2,
      nChannels,
      nBatch,
      nChannelsOut,
    ])
  }

  /** `ggml_pool_1d` */
  pool1d(a: Tensor, op: PoolOp, k0: number, s0: number, p0: number): Tensor {
    return this.run('ggml_pool_1d', [a, choice('op', op, numbers.PoolOp), k0, s0, p0])
  }

  /**
   * `ggml_pool_2d`
   * the result will have 2*p0 padding for the first dimension
   * and 2*p1 padding for the second dimension
   */
  pool2d(
    a: Tensor,
    op: PoolOp,
    k0: number,
    k1: number,
    s0: number,
    s1: number,
    p0: number,
    p1: number,
  ): Tensor {
    return this.run('ggml_pool_2d', [a, choice('op', op, numbers.PoolOp), k0, k1, s0, s1, p0, p1])
  }

  /** `ggml_pool_2d_back` */
  pool2dBack(
    a: Tensor,
    af: Tensor,
    op: PoolOp,
    k0: number,
    k1: number,
    s0: number,
    s1: number,
    p0: number,
    p1: number,
  ): Tensor {
    return this.run('ggml_pool_2d_back', [
      a,
      af,
      choice('op', op, numbers.PoolOp),
      k0,
      k1,
      s0,
      s1,
      p0,
      p1,
    ])
  }

  /**
   * `ggml_upscale`
   * interpolate
   * multiplies ne0 and ne1 by scale factor
   */
  upscale(a: Tensor, scaleFactor: number, mode: ScaleMode): Tensor {
    return this.run('ggml_upscale', [a, scaleFactor, choice('mode', mode, numbers.ScaleMode)])
  }

  /**
   * `ggml_interpolate`
   * Up- or downsamples the input to the specified size.
   * 2D scale modes (eg. bilinear) are applied to the first two dimensions.
   */
  interpolate(a: Tensor, ne0: number, ne1: number, ne2: number, ne3: number, mode: number): Tensor {
    return this.run('ggml_interpolate', [a, ne0, ne1, ne2, ne3, mode])
  }

  /**
   * `ggml_pad`
   * pad each dimension with zeros: [x, ..., x] -> [x, ..., x, 0, ..., 0]
   */
  pad(a: Tensor, p0: number, p1: number, p2: number, p3: number): Tensor {
    return this.run('ggml_pad', [a, p0, p1, p2, p3])
  }

  /**
   * `ggml_pad_circular`
   * pad each dimension with values on the other side of the torus (looping around)
   */
  padCircular(a: Tensor, p0: number, p1: number, p2: number, p3: number): Tensor {
    return this.run('ggml_pad_circular', [a, p0, p1, p2, p3])
  }

  /** `ggml_pad_ext` */
  padExt(
    a: Tensor,
    lp0: number,
    rp0: number,
    lp1: number,
    rp1: number,
    lp2: number,
    rp2: number,
    lp3: number,
    rp3: number,
  ): Tensor {
    return this.run('ggml_pad_ext', [a, lp0, rp0, lp1, rp1, lp2, rp2, lp3, rp3])
  }

  /**
   * `ggml_pad_ext_circular`
   * pad each dimension with values on the other side of the torus (looping around)
   */
  padExtCircular(
    a: Tensor,
    lp0: number,
    rp0: number,
    lp1: number,
    rp1: number,
    lp2: number,
    rp2: number,
    lp3: number,
    rp3: number,
  ): Tensor {
    return this.run('ggml_pad_ext_circular', [a, lp0, rp0, lp1, rp1, lp2, rp2, lp3, rp3])
  }

  /**
   * `ggml_pad_reflect_1d`
   * pad each dimension with reflection: [a, b, c, d] -> [b, a, b, c, d, c]
   */
  padReflect1d(a: Tensor, p0: number, p1: number): Tensor {
    return this.run('ggml_pad_reflect_1d', [a, p0, p1])
  }

  /**
   * `ggml_roll`
   * Move tensor elements by an offset given for each dimension. Elements that
   * are shifted beyond the last position are wrapped around to the beginning.
   */
  roll(a: Tensor, shift0: number, shift1: number, shift2: number, shift3: number): Tensor {
    return this.run('ggml_roll', [a, shift0, shift1, shift2, shift3])
  }

  /**
   * `ggml_tri`
   * Convert matrix into a triangular one (upper, strict upper, lower or strict lower) by writing
   * zeroes everywhere outside the masked area
   */
  tri(a: Tensor, type: TriangleType): Tensor {
    return this.run('ggml_tri', [a, choice('type', type, numbers.TriangleType)])
  }

  /**
   * `ggml_fill`
   * Fill tensor a with constant c
   */
  fill(a: Tensor, c: number): Tensor {
    return this.run('ggml_fill', [a, c])
  }

  /** `ggml_fill_inplace` */
  fillInplace(a: Tensor, c: number): Tensor {
    return this.run('ggml_fill_inplace', [a, c])
  }

  /**
   * `ggml_timestep_embedding`
   * Ref: https://github.com/CompVis/stable-diffusion/blob/main/ldm/modules/diffusionmodules/util.py#L151
   * timesteps: [N,]
   * return: [N, dim]
   */
  timestepEmbedding(timesteps: Tensor, dim: number, maxPeriod: number): Tensor {
    return this.run('ggml_timestep_embedding', [timesteps, dim, maxPeriod])
  }

  /** `ggml_argsort` */
  argsort(a: Tensor, order: SortOrder): Tensor {
    return this.run('ggml_argsort', [a, choice('order', order, numbers.SortOrder)])
  }

  /**
   * `ggml_argsort_top_k`
   * similar to ggml_top_k but implemented as `argsort` + `view`
   */
  argsortTopK(a: Tensor, k: number): Tensor {
    return this.run('ggml_argsort_top_k', [a, k])
  }

  /**
   * `ggml_top_k`
   * top k elements per row
   * note: the resulting top k indices are in no particular order
   */
  topK(a: Tensor, k: number): Tensor {
    return this.run('ggml_top_k', [a, k])
  }

  /** `ggml_arange` */
  arange(start: number, stop: number, step: number): Tensor {
    return this.run('ggml_arange', [start, stop, step])
  }

  /**
   * `ggml_flash_attn_ext`
   * q:    [n_embd_k, n_batch, n_head,    ne3 ]
   * k:    [n_embd_k, n_kv,    n_head_kv, ne3 ]
   * v:    [n_embd_v, n_kv,    n_head_kv, ne3 ] !! not transposed !!
   * mask: [n_kv,     n_batch, ne32,      ne33]
   * res:  [n_embd_v, n_head,  n_batch,   ne3 ] !! permuted !!
   * broadcast:
   *   n_head % n_head_kv == 0
   *   n_head % ne32      == 0
   *   ne3    % ne33      == 0
   */
  flashAttnExt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | null,
    scale: number,
    maxBias: number,
    logitSoftcap: number,
  ): Tensor {
    return this.run('ggml_flash_attn_ext', [q, k, v, mask, scale, maxBias, logitSoftcap])
  }

  /**
   * `ggml_flash_attn_ext_set_n_kv_max`
   * Use finite mask entries as a sparse K/V set. Set 0 to disable.
   * n_kv_max must bound the number of finite entries in every mask row.
   */
  flashAttnExtSetNKvMax(a: Tensor, nKvMax: number): Tensor {
    this.run('ggml_flash_attn_ext_set_n_kv_max', [a, nKvMax])
    return a
  }

  /** `ggml_flash_attn_ext_add_sinks` */
  flashAttnExtAddSinks(a: Tensor, sinks: Tensor | null): Tensor {
    this.run('ggml_flash_attn_ext_add_sinks', [a, sinks])
    return a
  }

  /** `ggml_ssm_conv` */
  ssmConv(sx: Tensor, c: Tensor): Tensor {
    return this.run('ggml_ssm_conv', [sx, c])
  }

  /** `ggml_ssm_scan` */
  ssmScan(
    s: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    ids: Tensor,
    K: number,
  ): Tensor {
    return this.run('ggml_ssm_scan', [s, x, dt, A, B, C, ids, K])
  }

  /**
   * `ggml_win_part`
   * partition into non-overlapping windows with padding if needed
   * example:
   * a:   768   64   64    1
   * w:    14
   * res: 768   14   14    25
   * used in sam
   */
  winPart(a: Tensor, w: number): Tensor {
    return this.run('ggml_win_part', [a, w])
  }

  /**
   * `ggml_win_unpart`
   * reverse of ggml_win_part
   * used in sam
   */
  winUnpart(a: Tensor, w0: number, h0: number, w: number): Tensor {
    return this.run('ggml_win_unpart', [a, w0, h0, w])
  }

  /** `ggml_unary` */
  unary(a: Tensor, op: UnaryOp): Tensor {
    return this.run('ggml_unary', [a, choice('op', op, numbers.UnaryOp)])
  }

  /** `ggml_unary_inplace` */
  unaryInplace(a: Tensor, op: UnaryOp): Tensor {
    return this.run('ggml_unary_inplace', [a, choice('op', op, numbers.UnaryOp)])
  }

  /**
   * `ggml_get_rel_pos`
   * used in sam
   */
  getRelPos(a: Tensor, qh: number, kh: number): Tensor {
    return this.run('ggml_get_rel_pos', [a, qh, kh])
  }

  /**
   * `ggml_add_rel_pos`
   * used in sam
   */
  addRelPos(a: Tensor, pw: Tensor, ph: Tensor): Tensor {
    return this.run('ggml_add_rel_pos', [a, pw, ph])
  }

  /** `ggml_add_rel_pos_inplace` */
  addRelPosInplace(a: Tensor, pw: Tensor, ph: Tensor): Tensor {
    return this.run('ggml_add_rel_pos_inplace', [a, pw, ph])
  }

  /** `ggml_rwkv_wkv6` */
  rwkvWkv6(k: Tensor, v: Tensor, r: Tensor, tf: Tensor, td: Tensor, state: Tensor): Tensor {
    return this.run('ggml_rwkv_wkv6', [k, v, r, tf, td, state])
  }

  /** `ggml_gated_linear_attn` */
  gatedLinearAttn(
    k: Tensor,
    v: Tensor,
    q: Tensor,
    g: Tensor,
    state: Tensor,
    scale: number,
  ): Tensor {
    return this.run('ggml_gated_linear_attn', [k, v, q, g, state, scale])
  }

  /** `ggml_rwkv_wkv7` */
  rwkvWkv7(
    r: Tensor,
    w: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor,
  ): Tensor {
    return this.run('ggml_rwkv_wkv7', [r, w, k, v, a, b, state])
  }

  /** `ggml_solve_tri` */
  solveTri(a: Tensor, b: Tensor, left: boolean, lower: boolean, uni: boolean): Tensor {
    return this.run('ggml_solve_tri', [a, b, left, lower, uni])
  }

  /**
   * `ggml_gated_delta_net`
   * TODO: add ggml_gated_delta_net_set_bcast() to be able to configure Q, K broadcast type: tiled vs interleaved [TAG_GGML_GDN_BCAST]
   * ref: https://github.com/ggml-org/llama.cpp/pull/19468#discussion_r2786394306
   * tensor shapes (S_k == S_v, H_v % H_k == 0):
   *   q, k  : [S_k, H_k, n_tokens, n_seqs]
   *   v     : [S_v, H_v, n_tokens, n_seqs]
   *   g     : [1, H_v, n_tokens, n_seqs] (scalar gate) or [S_v, H_v, n_tokens, n_seqs] (KDA)
   *   beta  : [1, H_v, n_tokens, n_seqs]
   *   state : [S_v, S_v, H_v, n_seqs] -- initial recurrent state s0
   * the output packs the attention scores [S_v, H_v, n_tokens, n_seqs] followed by K state
   * snapshots, most-recent first (slot 0 = final state, slot s = state s tokens back). K == 1
   * keeps only the final state; when n_tokens < K only slots 0..n_tokens-1 are written.
   */
  gatedDeltaNet(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    state: Tensor,
    K: number,
  ): Tensor {
    return this.run('ggml_gated_delta_net', [q, k, v, g, beta, state, K])
  }

  /**
   * `ggml_lightning_indexer`
   * DSA lightning indexer
   * q:       [n_embd_idx, n_head_idx, n_batch, ne3 ]
   * k:       [n_embd_idx, 1,          n_kv,    ne3 ]
   * weights: [n_head_idx, n_batch,    1,       ne3 ] !! prescaled !!
   * mask:    [n_kv,       n_batch,    1,       ne33] !! f16 !!
   * res:     [n_kv,       n_batch,    1,       ne3 ]
   * broadcast:
   *   ne3 % ne33 == 0
   */
  lightningIndexer(q: Tensor, k: Tensor, weights: Tensor, mask: Tensor): Tensor {
    return this.run('ggml_lightning_indexer', [q, k, weights, mask])
  }

  /**
   * `ggml_dsv4_hc_comb`
   * DeepSeek V4 hyper-connections (ref. https://arxiv.org/pdf/2512.24880)
   * In short these operations are replacements for the original residual connection (x = transformer(x) + x)
   * using a richer representation through streams.
   * hc_comb: mixes [(2 + hc)*hc, n_tokens], scale [3], base [(2 + hc)*hc]
   *          -> [dst_hc, src_hc, n_tokens]
   * logits[dst, src, t] = mixes[2*hc + dst + hc*src, t]*scale[2]
   *                         + base[2*hc + dst + hc*src]
   * Softmax over dst, add eps, normalize over src, then repeat normalization
   * over dst followed by src for iterations 1 through n_iter - 1.
   */
  dsv4HcComb(mixes: Tensor, scale: Tensor, base: Tensor, eps: number, nIter: number): Tensor {
    return this.run('ggml_dsv4_hc_comb', [mixes, scale, base, eps, nIter])
  }

  /**
   * `ggml_dsv4_hc_pre`
   * hc_pre: x [n_embd, hc, n_tokens], weights [hc, n_tokens] -> [n_embd, n_tokens]
   *   result[i, t] = sum_h x[i, h, t]*weights[h, t]
   */
  dsv4HcPre(x: Tensor, weights: Tensor): Tensor {
    return this.run('ggml_dsv4_hc_pre', [x, weights])
  }

  /**
   * `ggml_dsv4_hc_pre_gated`
   * hc_pre with a per-element gate (Qwen3.8-Flash-Next): gate [n_embd, hc, n_tokens]
   *   result[i, t] = scale*sum_h x[i, h, t]*sigmoid(gate[i, h, t])
   */
  dsv4HcPreGated(x: Tensor, gate: Tensor, scale: number): Tensor {
    return this.run('ggml_dsv4_hc_pre_gated', [x, gate, scale])
  }

  /**
   * `ggml_dsv4_hc_post`
   * hc_post: x [n_embd, n_tokens], residual [n_embd, hc, n_tokens],
   *          post [hc, n_tokens], comb [dst_hc, src_hc, n_tokens]
   *          -> [n_embd, hc, n_tokens]
   *   result[i, dst, t] = x[i, t]*post[dst, t]
   *                       + sum_src residual[i, src, t]*comb[dst, src, t]
   *   comb == NULL uses the identity: result[i, dst, t] = x[i, t]*post[dst, t] + residual[i, dst, t]
   */
  dsv4HcPost(x: Tensor, residual: Tensor, post: Tensor, comb: Tensor | null): Tensor {
    return this.run('ggml_dsv4_hc_post', [x, residual, post, comb])
  }

  /** `ggml_cross_entropy_loss` */
  crossEntropyLoss(a: Tensor, b: Tensor): Tensor {
    return this.run('ggml_cross_entropy_loss', [a, b])
  }

  /** `ggml_cross_entropy_loss_back` */
  crossEntropyLossBack(a: Tensor, b: Tensor, c: Tensor): Tensor {
    return this.run('ggml_cross_entropy_loss_back', [a, b, c])
  }

  /**
   * `ggml_opt_step_adamw`
   * AdamW optimizer step
   * Paper: https://arxiv.org/pdf/1711.05101v3.pdf
   * PyTorch: https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html
   */
  optStepAdamw(a: Tensor, grad: Tensor, m: Tensor, v: Tensor, adamwParams: Tensor): Tensor {
    return this.run('ggml_opt_step_adamw', [a, grad, m, v, adamwParams])
  }

  /**
   * `ggml_opt_step_sgd`
   * stochastic gradient descent step (with weight decay)
   */
  optStepSgd(a: Tensor, grad: Tensor, sgdParams: Tensor): Tensor {
    return this.run('ggml_opt_step_sgd', [a, grad, sgdParams])
  }
}
