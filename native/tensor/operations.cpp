#include "tensor/operations.h"

#include <tuple>
#include <type_traits>
#include <utility>

#include "tensor/operation-rules.h"

namespace sotto {
namespace {

// A parameter of a C function: its letter, and how its value is got.
template <typename P>
constexpr char Kind() {
  if constexpr (std::is_same_v<P, ggml_tensor*>) {
    return 't';
  } else if constexpr (std::is_same_v<P, float>) {
    return 'f';
  } else if constexpr (std::is_same_v<P, bool>) {
    return 'b';
  } else if constexpr (std::is_same_v<P, int*>) {
    return 's';
  } else if constexpr (std::is_same_v<P, int64_t*>) {
    return 'n';
  } else if constexpr (std::is_enum_v<P>) {
    return 'e';
  } else if constexpr (std::is_same_v<P, int>) {
    return 'i';
  } else if constexpr (std::is_same_v<P, int64_t>) {
    return 'l';
  } else {
    static_assert(std::is_same_v<P, size_t> || std::is_same_v<P, uint32_t>, "a kind that the table does not know");
    return 'z';
  }
}

// Holds what a pointer parameter points at while the function runs.
template <typename P>
struct Value {
  explicit Value(const Argument& argument) : value(P(argument.number)) {}
  P value;
};
template <>
struct Value<ggml_tensor*> {
  explicit Value(const Argument& argument) : value(argument.tensor) {}
  ggml_tensor* value;
};
template <typename Item>
struct Four {
  explicit Four(const Argument& argument) : value(items) {
    for (size_t i = 0; i < 4; ++i) items[i] = Item(argument.list[i]);
  }
  Four(const Four&) = delete;
  Item items[4];
  Item* value;
};
template <>
struct Value<int*> : Four<int> {
  using Four::Four;
};
template <>
struct Value<int64_t*> : Four<int64_t> {
  using Four::Four;
};

template <auto function, typename Signature>
struct Bound;
template <auto function, typename Result, typename First, typename... Rest>
struct Bound<function, Result (*)(First, Rest...)> {
  static constexpr bool kMakes = std::is_same_v<First, ggml_context*>;
  static std::string Kinds() {
    if constexpr (kMakes) {
      return std::string{Kind<Rest>()...};
    } else {
      return std::string{Kind<First>(), Kind<Rest>()...};
    }
  }
  static ggml_tensor* Build(ggml_context* context, const Call& call) {
    return Run(context, call, std::make_index_sequence<sizeof...(Rest)>{});
  }
  template <size_t... i>
  static ggml_tensor* Run(ggml_context* context, const Call& call, std::index_sequence<i...>) {
    if constexpr (kMakes) {
      return function(context, Value<Rest>(call.argument(i)).value...);
    } else {
      function(call.tensor(0), Value<Rest>(call.argument(i + 1)).value...);
      return call.tensor(0);
    }
  }
};

// `optional`: the parameter that may be left out; 0, the first one, never may.
template <auto function>
Operation Make(const char* name, const char* parameters, void (*rule)(const Call&), int nodes = 1,
               size_t optional = 0) {
  using Function = Bound<function, decltype(function)>;
  std::string kinds = Function::Kinds();
  if (optional) kinds[optional] = 'o';
  return {name, parameters, std::move(kinds), nodes, rule, Function::Build};
}

}  // namespace

const std::vector<Operation>& Operations() {
  // clang-format off
  static const std::vector<Operation>* const operations = new std::vector<Operation>{
      Make<&ggml_dup>("ggml_dup", "a", rules::None),
      Make<&ggml_dup_inplace>("ggml_dup_inplace", "a", rules::None),
      Make<&ggml_add>("ggml_add", "a b", rules::Repeats),
      Make<&ggml_add_inplace>("ggml_add_inplace", "a b", rules::Repeats),
      Make<&ggml_add_cast>("ggml_add_cast", "a b type", rules::AddCast),
      Make<&ggml_add_id>("ggml_add_id", "a b ids", rules::AddId),
      Make<&ggml_acc>("ggml_acc", "a b nb1 nb2 nb3 offset", rules::PieceOf),
      Make<&ggml_acc_inplace>("ggml_acc_inplace", "a b nb1 nb2 nb3 offset", rules::PieceOf),
      Make<&ggml_sub>("ggml_sub", "a b", rules::Repeats),
      Make<&ggml_sub_inplace>("ggml_sub_inplace", "a b", rules::Repeats),
      Make<&ggml_mul>("ggml_mul", "a b", rules::Repeats),
      Make<&ggml_mul_inplace>("ggml_mul_inplace", "a b", rules::Repeats),
      Make<&ggml_div>("ggml_div", "a b", rules::Repeats),
      Make<&ggml_div_inplace>("ggml_div_inplace", "a b", rules::Repeats),
      Make<&ggml_sqr>("ggml_sqr", "a", rules::Floats),
      Make<&ggml_sqr_inplace>("ggml_sqr_inplace", "a", rules::Floats),
      Make<&ggml_sqrt>("ggml_sqrt", "a", rules::Floats),
      Make<&ggml_sqrt_inplace>("ggml_sqrt_inplace", "a", rules::Floats),
      Make<&ggml_log>("ggml_log", "a", rules::Floats),
      Make<&ggml_log_inplace>("ggml_log_inplace", "a", rules::Floats),
      Make<&ggml_expm1>("ggml_expm1", "a", rules::Rows),
      Make<&ggml_expm1_inplace>("ggml_expm1_inplace", "a", rules::Rows),
      Make<&ggml_softplus>("ggml_softplus", "a", rules::Rows),
      Make<&ggml_softplus_inplace>("ggml_softplus_inplace", "a", rules::Rows),
      Make<&ggml_sin>("ggml_sin", "a", rules::Floats),
      Make<&ggml_sin_inplace>("ggml_sin_inplace", "a", rules::Floats),
      Make<&ggml_cos>("ggml_cos", "a", rules::Floats),
      Make<&ggml_cos_inplace>("ggml_cos_inplace", "a", rules::Floats),
      Make<&ggml_sum>("ggml_sum", "a", rules::Floats),
      Make<&ggml_sum_rows>("ggml_sum_rows", "a", rules::F32),
      Make<&ggml_cumsum>("ggml_cumsum", "a", rules::F32),
      Make<&ggml_mean>("ggml_mean", "a", rules::F32),
      Make<&ggml_argmax>("ggml_argmax", "a", rules::Matrix),
      Make<&ggml_count_equal>("ggml_count_equal", "a b", rules::SameShape),
      Make<&ggml_repeat>("ggml_repeat", "a b", rules::Repeat),
      Make<&ggml_repeat_4d>("ggml_repeat_4d", "a ne0 ne1 ne2 ne3", rules::Repeat4),
      Make<&ggml_repeat_back>("ggml_repeat_back", "a b", rules::RepeatBack),
      Make<&ggml_concat>("ggml_concat", "a b dim", rules::Concat),
      Make<&ggml_abs>("ggml_abs", "a", rules::Rows),
      Make<&ggml_abs_inplace>("ggml_abs_inplace", "a", rules::Rows),
      Make<&ggml_sgn>("ggml_sgn", "a", rules::Rows),
      Make<&ggml_sgn_inplace>("ggml_sgn_inplace", "a", rules::Rows),
      Make<&ggml_neg>("ggml_neg", "a", rules::Rows),
      Make<&ggml_neg_inplace>("ggml_neg_inplace", "a", rules::Rows),
      Make<&ggml_step>("ggml_step", "a", rules::Rows),
      Make<&ggml_step_inplace>("ggml_step_inplace", "a", rules::Rows),
      Make<&ggml_tanh>("ggml_tanh", "a", rules::Rows),
      Make<&ggml_tanh_inplace>("ggml_tanh_inplace", "a", rules::Rows),
      Make<&ggml_elu>("ggml_elu", "a", rules::Rows),
      Make<&ggml_elu_inplace>("ggml_elu_inplace", "a", rules::Rows),
      Make<&ggml_relu>("ggml_relu", "a", rules::Rows),
      Make<&ggml_leaky_relu>("ggml_leaky_relu", "a negative_slope inplace", rules::None),
      Make<&ggml_relu_inplace>("ggml_relu_inplace", "a", rules::Rows),
      Make<&ggml_sigmoid>("ggml_sigmoid", "a", rules::Rows),
      Make<&ggml_sigmoid_inplace>("ggml_sigmoid_inplace", "a", rules::Rows),
      Make<&ggml_gelu>("ggml_gelu", "a", rules::Rows),
      Make<&ggml_gelu_inplace>("ggml_gelu_inplace", "a", rules::Rows),
      Make<&ggml_gelu_erf>("ggml_gelu_erf", "a", rules::Rows),
      Make<&ggml_gelu_erf_inplace>("ggml_gelu_erf_inplace", "a", rules::Rows),
      Make<&ggml_gelu_quick>("ggml_gelu_quick", "a", rules::Rows),
      Make<&ggml_gelu_quick_inplace>("ggml_gelu_quick_inplace", "a", rules::Rows),
      Make<&ggml_silu>("ggml_silu", "a", rules::Rows),
      Make<&ggml_silu_inplace>("ggml_silu_inplace", "a", rules::Rows),
      Make<&ggml_silu_back>("ggml_silu_back", "a b", rules::None),
      Make<&ggml_hardswish>("ggml_hardswish", "a", rules::Rows),
      Make<&ggml_hardsigmoid>("ggml_hardsigmoid", "a", rules::Rows),
      Make<&ggml_exp>("ggml_exp", "a", rules::Rows),
      Make<&ggml_exp_inplace>("ggml_exp_inplace", "a", rules::Rows),
      Make<&ggml_floor>("ggml_floor", "a", rules::Rows),
      Make<&ggml_floor_inplace>("ggml_floor_inplace", "a", rules::Rows),
      Make<&ggml_ceil>("ggml_ceil", "a", rules::Rows),
      Make<&ggml_ceil_inplace>("ggml_ceil_inplace", "a", rules::Rows),
      Make<&ggml_round>("ggml_round", "a", rules::Rows),
      Make<&ggml_round_inplace>("ggml_round_inplace", "a", rules::Rows),
      Make<&ggml_trunc>("ggml_trunc", "a", rules::Rows),
      Make<&ggml_trunc_inplace>("ggml_trunc_inplace", "a", rules::Rows),
      Make<&ggml_xielu>("ggml_xielu", "a alpha_n alpha_p beta eps", rules::Rows),
      Make<&ggml_glu>("ggml_glu", "a op swapped", rules::GatedAny),
      Make<&ggml_reglu>("ggml_reglu", "a", rules::Gated),
      Make<&ggml_reglu_swapped>("ggml_reglu_swapped", "a", rules::Gated),
      Make<&ggml_geglu>("ggml_geglu", "a", rules::Gated),
      Make<&ggml_geglu_swapped>("ggml_geglu_swapped", "a", rules::Gated),
      Make<&ggml_swiglu>("ggml_swiglu", "a", rules::Gated),
      Make<&ggml_swiglu_swapped>("ggml_swiglu_swapped", "a", rules::Gated),
      Make<&ggml_geglu_erf>("ggml_geglu_erf", "a", rules::Gated),
      Make<&ggml_geglu_erf_swapped>("ggml_geglu_erf_swapped", "a", rules::Gated),
      Make<&ggml_geglu_quick>("ggml_geglu_quick", "a", rules::Gated),
      Make<&ggml_geglu_quick_swapped>("ggml_geglu_quick_swapped", "a", rules::Gated),
      Make<&ggml_glu_split>("ggml_glu_split", "a b op", rules::GatedSplitAny),
      Make<&ggml_reglu_split>("ggml_reglu_split", "a b", rules::GatedSplit),
      Make<&ggml_geglu_split>("ggml_geglu_split", "a b", rules::GatedSplit),
      Make<&ggml_swiglu_split>("ggml_swiglu_split", "a b", rules::GatedSplit),
      Make<&ggml_geglu_erf_split>("ggml_geglu_erf_split", "a b", rules::GatedSplit),
      Make<&ggml_geglu_quick_split>("ggml_geglu_quick_split", "a b", rules::GatedSplit),
      Make<&ggml_swiglu_oai>("ggml_swiglu_oai", "a b alpha limit", rules::GatedSplit),
      Make<&ggml_swiglu_clamp>("ggml_swiglu_clamp", "a b limit", rules::GatedSplit),
      Make<&ggml_norm>("ggml_norm", "a eps", rules::Epsilon),
      Make<&ggml_norm_inplace>("ggml_norm_inplace", "a eps", rules::Epsilon),
      Make<&ggml_rms_norm>("ggml_rms_norm", "a eps", rules::Epsilon),
      Make<&ggml_rms_norm_inplace>("ggml_rms_norm_inplace", "a eps", rules::Epsilon),
      Make<&ggml_group_norm>("ggml_group_norm", "a n_groups eps", rules::GroupNorm),
      Make<&ggml_group_norm_inplace>("ggml_group_norm_inplace", "a n_groups eps", rules::GroupNorm),
      Make<&ggml_l2_norm>("ggml_l2_norm", "a eps", rules::Epsilon),
      Make<&ggml_l2_norm_inplace>("ggml_l2_norm_inplace", "a eps", rules::Epsilon),
      Make<&ggml_rms_norm_back>("ggml_rms_norm_back", "a b eps", rules::Epsilon),
      Make<&ggml_prec_set_acc>("ggml_prec_set_acc", "a prec", rules::Precision, 0),
      Make<&ggml_prec_set_src>("ggml_prec_set_src", "a prec idx", rules::SourcePrecision, 0),
      Make<&ggml_mul_mat>("ggml_mul_mat", "a b", rules::MulMat),
      Make<&ggml_mul_mat_set_hint>("ggml_mul_mat_set_hint", "a hint", rules::Hint, 0),
      Make<&ggml_mul_mat_id>("ggml_mul_mat_id", "as b ids", rules::MulMatId),
      Make<&ggml_out_prod>("ggml_out_prod", "a b", rules::OutProd),
      Make<&ggml_scale>("ggml_scale", "a s", rules::Scale),
      Make<&ggml_scale_inplace>("ggml_scale_inplace", "a s", rules::Scale),
      Make<&ggml_scale_bias>("ggml_scale_bias", "a s b", rules::Scale),
      Make<&ggml_scale_bias_inplace>("ggml_scale_bias_inplace", "a s b", rules::Scale),
      Make<&ggml_set>("ggml_set", "a b nb1 nb2 nb3 offset", rules::PieceOf),
      Make<&ggml_set_inplace>("ggml_set_inplace", "a b nb1 nb2 nb3 offset", rules::PieceOf),
      Make<&ggml_set_1d>("ggml_set_1d", "a b offset", rules::PieceOf),
      Make<&ggml_set_1d_inplace>("ggml_set_1d_inplace", "a b offset", rules::PieceOf),
      Make<&ggml_set_2d>("ggml_set_2d", "a b nb1 offset", rules::PieceOf),
      Make<&ggml_set_2d_inplace>("ggml_set_2d_inplace", "a b nb1 offset", rules::PieceOf),
      Make<&ggml_cpy>("ggml_cpy", "a b", rules::Copy),
      Make<&ggml_cast>("ggml_cast", "a type", rules::Cast),
      Make<&ggml_cont>("ggml_cont", "a", rules::None),
      Make<&ggml_cont_1d>("ggml_cont_1d", "a ne0", rules::Cont1),
      Make<&ggml_cont_2d>("ggml_cont_2d", "a ne0 ne1", rules::Cont2),
      Make<&ggml_cont_3d>("ggml_cont_3d", "a ne0 ne1 ne2", rules::Cont3),
      Make<&ggml_cont_4d>("ggml_cont_4d", "a ne0 ne1 ne2 ne3", rules::Cont4),
      Make<&ggml_reshape>("ggml_reshape", "a b", rules::ReshapeLike),
      Make<&ggml_reshape_1d>("ggml_reshape_1d", "a ne0", rules::Reshape1),
      Make<&ggml_reshape_2d>("ggml_reshape_2d", "a ne0 ne1", rules::Reshape2),
      Make<&ggml_reshape_3d>("ggml_reshape_3d", "a ne0 ne1 ne2", rules::Reshape3),
      Make<&ggml_reshape_4d>("ggml_reshape_4d", "a ne0 ne1 ne2 ne3", rules::Reshape4),
      Make<&ggml_view_1d>("ggml_view_1d", "a ne0 offset", rules::View1),
      Make<&ggml_view_2d>("ggml_view_2d", "a ne0 ne1 nb1 offset", rules::View2),
      Make<&ggml_view_3d>("ggml_view_3d", "a ne0 ne1 ne2 nb1 nb2 offset", rules::View3),
      Make<&ggml_view_4d>("ggml_view_4d", "a ne0 ne1 ne2 ne3 nb1 nb2 nb3 offset", rules::View4),
      Make<&ggml_permute>("ggml_permute", "a axis0 axis1 axis2 axis3", rules::Permute),
      Make<&ggml_transpose>("ggml_transpose", "a", rules::Transpose),
      Make<&ggml_get_rows>("ggml_get_rows", "a b", rules::GetRows),
      Make<&ggml_get_rows_back>("ggml_get_rows_back", "a b c", rules::GetRowsBack),
      Make<&ggml_set_rows>("ggml_set_rows", "a b c", rules::SetRows),
      Make<&ggml_diag>("ggml_diag", "a", rules::Diag),
      Make<&ggml_diag_mask_inf>("ggml_diag_mask_inf", "a n_past", rules::DiagMask),
      Make<&ggml_diag_mask_inf_inplace>("ggml_diag_mask_inf_inplace", "a n_past", rules::DiagMask),
      Make<&ggml_diag_mask_zero>("ggml_diag_mask_zero", "a n_past", rules::DiagMask),
      Make<&ggml_diag_mask_zero_inplace>("ggml_diag_mask_zero_inplace", "a n_past", rules::DiagMask),
      Make<&ggml_clamp>("ggml_clamp", "a min max", rules::None),
      Make<&ggml_clamp_inplace>("ggml_clamp_inplace", "a min max", rules::None),
      Make<&ggml_soft_max>("ggml_soft_max", "a", rules::SoftMax),
      Make<&ggml_soft_max_inplace>("ggml_soft_max_inplace", "a", rules::SoftMax),
      Make<&ggml_soft_max_ext>("ggml_soft_max_ext", "a mask scale max_bias", rules::SoftMaxMasked, 1, 1),
      Make<&ggml_soft_max_ext_inplace>("ggml_soft_max_ext_inplace", "a mask scale max_bias", rules::SoftMaxMasked, 1, 1),
      Make<&ggml_soft_max_add_sinks>("ggml_soft_max_add_sinks", "a sinks", rules::Sinks, 0, 1),
      Make<&ggml_soft_max_ext_back>("ggml_soft_max_ext_back", "a b scale max_bias", rules::None),
      Make<&ggml_soft_max_ext_back_inplace>("ggml_soft_max_ext_back_inplace", "a b scale max_bias", rules::None),
      Make<&ggml_rope>("ggml_rope", "a b n_dims mode", rules::Rope),
      Make<&ggml_rope_inplace>("ggml_rope_inplace", "a b n_dims mode", rules::Rope),
      Make<&ggml_rope_ext>("ggml_rope_ext", "a b c n_dims mode n_ctx_orig freq_base freq_scale ext_factor attn_factor beta_fast beta_slow", rules::RopeExt, 1, 2),
      Make<&ggml_rope_multi>("ggml_rope_multi", "a b c n_dims sections mode n_ctx_orig freq_base freq_scale ext_factor attn_factor beta_fast beta_slow", rules::RopeMulti, 1, 2),
      Make<&ggml_rope_ext_inplace>("ggml_rope_ext_inplace", "a b c n_dims mode n_ctx_orig freq_base freq_scale ext_factor attn_factor beta_fast beta_slow", rules::RopeExt, 1, 2),
      Make<&ggml_rope_multi_inplace>("ggml_rope_multi_inplace", "a b c n_dims sections mode n_ctx_orig freq_base freq_scale ext_factor attn_factor beta_fast beta_slow", rules::RopeMulti, 1, 2),
      Make<&ggml_rope_ext_back>("ggml_rope_ext_back", "a b c n_dims mode n_ctx_orig freq_base freq_scale ext_factor attn_factor beta_fast beta_slow", rules::RopeExt, 1, 2),
      Make<&ggml_rope_multi_back>("ggml_rope_multi_back", "a b c n_dims sections mode n_ctx_orig freq_base freq_scale ext_factor attn_factor beta_fast beta_slow", rules::RopeMulti, 1, 2),
      Make<&ggml_rope_set_offset>("ggml_rope_set_offset", "a n_offs", rules::RopeOffset, 0),
      Make<&ggml_im2col>("ggml_im2col", "a b s0 s1 p0 p1 d0 d1 is_2D dst_type", rules::ImageToColumns),
      Make<&ggml_im2col_back>("ggml_im2col_back", "a b ne s0 s1 p0 p1 d0 d1 is_2D", rules::ColumnsToImage),
      Make<&ggml_col2im_1d>("ggml_col2im_1d", "a s0 oc p0", rules::ColumnsToSignal),
      Make<&ggml_conv_1d>("ggml_conv_1d", "a b s0 p0 d0", rules::Conv1, 8),
      Make<&ggml_conv_1d_ph>("ggml_conv_1d_ph", "a b s d", rules::Conv1Half, 8),
      Make<&ggml_conv_1d_dw>("ggml_conv_1d_dw", "a b s0 p0 d0", rules::Conv1Deep, 8),
      Make<&ggml_conv_1d_dw_ph>("ggml_conv_1d_dw_ph", "a b s0 d0", rules::Conv1DeepHalf, 8),
      Make<&ggml_conv_transpose_1d>("ggml_conv_transpose_1d", "a b s0 p0 d0", rules::ConvTranspose1),
      Make<&ggml_conv_2d>("ggml_conv_2d", "a b s0 s1 p0 p1 d0 d1", rules::Conv2, 8),
      Make<&ggml_im2col_3d>("ggml_im2col_3d", "a b IC s0 s1 s2 p0 p1 p2 d0 d1 d2 dst_type", rules::ImageToColumns3),
      Make<&ggml_conv_3d>("ggml_conv_3d", "a b IC s0 s1 s2 p0 p1 p2 d0 d1 d2", rules::Conv3, 8),
      Make<&ggml_conv_2d_sk_p0>("ggml_conv_2d_sk_p0", "a b", rules::Conv2Patches, 8),
      Make<&ggml_conv_2d_s1_ph>("ggml_conv_2d_s1_ph", "a b", rules::Conv2Half, 8),
      Make<&ggml_conv_2d_dw>("ggml_conv_2d_dw", "a b s0 s1 p0 p1 d0 d1", rules::Conv2Deep, 8),
      Make<&ggml_conv_2d_dw_direct>("ggml_conv_2d_dw_direct", "a b stride0 stride1 pad0 pad1 dilation0 dilation1", rules::Conv2DeepDirect),
      Make<&ggml_conv_transpose_2d_p0>("ggml_conv_transpose_2d_p0", "a b stride", rules::ConvTranspose2),
      Make<&ggml_conv_2d_direct>("ggml_conv_2d_direct", "a b s0 s1 p0 p1 d0 d1", rules::Conv2Direct),
      Make<&ggml_conv_3d_direct>("ggml_conv_3d_direct", "a b s0 s1 s2 p0 p1 p2 d0 d1 d2 n_channels n_batch n_channels_out", rules::Conv3Direct),
      Make<&ggml_pool_1d>("ggml_pool_1d", "a op k0 s0 p0", rules::Pool1),
      Make<&ggml_pool_2d>("ggml_pool_2d", "a op k0 k1 s0 s1 p0 p1", rules::Pool2),
      Make<&ggml_pool_2d_back>("ggml_pool_2d_back", "a af op k0 k1 s0 s1 p0 p1", rules::Pool2Back),
      Make<&ggml_upscale>("ggml_upscale", "a scale_factor mode", rules::Upscale),
      Make<&ggml_interpolate>("ggml_interpolate", "a ne0 ne1 ne2 ne3 mode", rules::Interpolate),
      Make<&ggml_pad>("ggml_pad", "a p0 p1 p2 p3", rules::Pad),
      Make<&ggml_pad_circular>("ggml_pad_circular", "a p0 p1 p2 p3", rules::PadCircular),
      Make<&ggml_pad_ext>("ggml_pad_ext", "a lp0 rp0 lp1 rp1 lp2 rp2 lp3 rp3", rules::PadEnds),
      Make<&ggml_pad_ext_circular>("ggml_pad_ext_circular", "a lp0 rp0 lp1 rp1 lp2 rp2 lp3 rp3", rules::PadEndsCircular),
      Make<&ggml_pad_reflect_1d>("ggml_pad_reflect_1d", "a p0 p1", rules::PadReflect),
      Make<&ggml_roll>("ggml_roll", "a shift0 shift1 shift2 shift3", rules::Roll),
      Make<&ggml_tri>("ggml_tri", "a type", rules::Triangle),
      Make<&ggml_fill>("ggml_fill", "a c", rules::Fill),
      Make<&ggml_fill_inplace>("ggml_fill_inplace", "a c", rules::Fill),
      Make<&ggml_timestep_embedding>("ggml_timestep_embedding", "timesteps dim max_period", rules::Timesteps),
      Make<&ggml_argsort>("ggml_argsort", "a order", rules::Sort),
      Make<&ggml_argsort_top_k>("ggml_argsort_top_k", "a k", rules::TopK, 2),
      Make<&ggml_top_k>("ggml_top_k", "a k", rules::TopK),
      Make<&ggml_arange>("ggml_arange", "start stop step", rules::Range),
      Make<&ggml_flash_attn_ext>("ggml_flash_attn_ext", "q k v mask scale max_bias logit_softcap", rules::FlashAttention, 1, 3),
      Make<&ggml_flash_attn_ext_set_n_kv_max>("ggml_flash_attn_ext_set_n_kv_max", "a n_kv_max", rules::FlashLength, 0),
      Make<&ggml_flash_attn_ext_add_sinks>("ggml_flash_attn_ext_add_sinks", "a sinks", rules::FlashSinks, 0, 1),
      Make<&ggml_ssm_conv>("ggml_ssm_conv", "sx c", rules::StateConv),
      Make<&ggml_ssm_scan>("ggml_ssm_scan", "s x dt A B C ids K", rules::StateScan),
      Make<&ggml_win_part>("ggml_win_part", "a w", rules::WindowPart),
      Make<&ggml_win_unpart>("ggml_win_unpart", "a w0 h0 w", rules::WindowUnpart),
      Make<&ggml_unary>("ggml_unary", "a op", rules::Unary),
      Make<&ggml_unary_inplace>("ggml_unary_inplace", "a op", rules::Unary),
      Make<&ggml_get_rel_pos>("ggml_get_rel_pos", "a qh kh", rules::RelativePositions),
      Make<&ggml_add_rel_pos>("ggml_add_rel_pos", "a pw ph", rules::AddRelativePositions),
      Make<&ggml_add_rel_pos_inplace>("ggml_add_rel_pos_inplace", "a pw ph", rules::AddRelativePositions),
      Make<&ggml_rwkv_wkv6>("ggml_rwkv_wkv6", "k v r tf td state", rules::Recurrent6),
      Make<&ggml_gated_linear_attn>("ggml_gated_linear_attn", "k v q g state scale", rules::GatedLinear),
      Make<&ggml_rwkv_wkv7>("ggml_rwkv_wkv7", "r w k v a b state", rules::Recurrent7),
      Make<&ggml_solve_tri>("ggml_solve_tri", "a b left lower uni", rules::SolveTriangle),
      Make<&ggml_gated_delta_net>("ggml_gated_delta_net", "q k v g beta state K", rules::DeltaNet),
      Make<&ggml_lightning_indexer>("ggml_lightning_indexer", "q k weights mask", rules::Indexer),
      Make<&ggml_dsv4_hc_comb>("ggml_dsv4_hc_comb", "mixes scale base eps n_iter", rules::Combine),
      Make<&ggml_dsv4_hc_pre>("ggml_dsv4_hc_pre", "x weights", rules::CombineBefore),
      Make<&ggml_dsv4_hc_pre_gated>("ggml_dsv4_hc_pre_gated", "x gate scale", rules::CombineGated),
      Make<&ggml_dsv4_hc_post>("ggml_dsv4_hc_post", "x residual post comb", rules::CombineAfter, 1, 3),
      Make<&ggml_cross_entropy_loss>("ggml_cross_entropy_loss", "a b", rules::SameShape),
      Make<&ggml_cross_entropy_loss_back>("ggml_cross_entropy_loss_back", "a b c", rules::LossBack),
      Make<&ggml_opt_step_adamw>("ggml_opt_step_adamw", "a grad m v adamw_params", rules::AdamW),
      Make<&ggml_opt_step_sgd>("ggml_opt_step_sgd", "a grad sgd_params", rules::Sgd),
  };
  // clang-format on
  return *operations;
}

}  // namespace sotto
