#include "tensor/tensor-data.h"

#include <ggml-backend.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "tensor/tensor-info.h"

namespace sotto {
namespace {

constexpr float kMostQuantised = 65504;  // of F16

void CheckTarget(const ggml_tensor* tensor) {
  if (IsDense(tensor)) return;
  throw Error(ErrorCode::kTensorShape, "Expected a contiguous tensor to write to, received " + Describe(tensor));
}

}  // namespace

std::vector<uint8_t> ReadBytes(const ggml_tensor* tensor) {
  std::vector<uint8_t> extent(ggml_nbytes(tensor));
  ggml_backend_tensor_get(tensor, extent.data(), 0, extent.size());
  if (IsDense(tensor)) return extent;
  const size_t unit = ggml_type_size(tensor->type);
  const int64_t units = tensor->ne[0] / ggml_blck_size(tensor->type);
  std::vector<uint8_t> packed(size_t(ggml_nrows(tensor)) * size_t(units) * unit);
  uint8_t* to = packed.data();
  for (int64_t i3 = 0; i3 < tensor->ne[3]; ++i3) {
    for (int64_t i2 = 0; i2 < tensor->ne[2]; ++i2) {
      for (int64_t i1 = 0; i1 < tensor->ne[1]; ++i1) {
        const uint8_t* from = extent.data() + i3 * tensor->nb[3] + i2 * tensor->nb[2] + i1 * tensor->nb[1];
        for (int64_t i0 = 0; i0 < units; ++i0, to += unit, from += tensor->nb[0]) std::memcpy(to, from, unit);
      }
    }
  }
  return packed;
}

std::vector<float> ReadFloats(const ggml_tensor* tensor) {
  if (!CanBeRead(tensor->type)) {
    throw Error(ErrorCode::kTensorType,
                "Expected a tensor of a type that can be read as F32, received " + Describe(tensor));
  }
  const std::vector<uint8_t> bytes = ReadBytes(tensor);
  std::vector<float> values(size_t(ggml_nelements(tensor)));
  if (tensor->type == GGML_TYPE_F32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  } else {
    ggml_get_type_traits(tensor->type)->to_float(bytes.data(), values.data(), int64_t(values.size()));
  }
  return values;
}

std::vector<int64_t> ReadIntegers(const ggml_tensor* tensor) {
  const std::vector<uint8_t> bytes = ReadBytes(tensor);
  std::vector<int64_t> values(size_t(ggml_nelements(tensor)));
  if (tensor->type == GGML_TYPE_I64) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    int32_t value = 0;
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    values[i] = value;
  }
  return values;
}

void WriteBytes(ggml_tensor* tensor, const uint8_t* bytes, size_t size, size_t offset) {
  CheckTarget(tensor);
  const size_t room = ggml_nbytes(tensor);
  if (offset > room || size > room - offset) {
    throw Error(ErrorCode::kTensorShape, "Expected at most " + std::to_string(room) + " bytes for " + Describe(tensor) +
                                             ", received " + std::to_string(size) + " at " + std::to_string(offset));
  }
  ggml_backend_tensor_set(tensor, bytes, offset, size);
}

void WriteFloats(ggml_tensor* tensor, const float* values, size_t count) {
  CheckTarget(tensor);
  if (count != size_t(ggml_nelements(tensor))) {
    throw Error(ErrorCode::kTensorShape, "Expected " + std::to_string(ggml_nelements(tensor)) + " numbers for " +
                                             Describe(tensor) + ", received " + std::to_string(count));
  }
  if (tensor->type == GGML_TYPE_F32) return ggml_backend_tensor_set(tensor, values, 0, count * sizeof(float));
  if (!CanBeQuantised(tensor->type)) {
    throw Error(ErrorCode::kTensorType, "Expected a tensor that numbers can be written to, received " +
                                            Describe(tensor) +
                                            ": write its bytes, or choose a type that needs no importance matrix");
  }
  if (IsQuantised(tensor)) {
    // ggml's searches for the nearest block abort over NaN and what overflows.
    for (size_t i = 0; i < count; ++i) {
      if (std::fabs(values[i]) <= kMostQuantised) continue;
      throw Error(ErrorCode::kTensorValue, "Expected finite numbers from -65504 to 65504 for " + Describe(tensor) +
                                               ", received " + std::to_string(values[i]) + " at " + std::to_string(i));
    }
  }
  std::vector<uint8_t> blocks(ggml_nbytes(tensor));
  ggml_quantize_chunk(tensor->type, values, blocks.data(), 0, ggml_nrows(tensor), tensor->ne[0], nullptr);
  ggml_backend_tensor_set(tensor, blocks.data(), 0, blocks.size());
}

}  // namespace sotto
