// tensor-data.h: numbers into a tensor and out of it, whatever its type, layout and device.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <vector>

namespace sotto {

// Its elements one row after the other, in its own type.
std::vector<uint8_t> ReadBytes(const ggml_tensor* tensor);
// The same as F32, or as it was stored where the type is an integer one or F64 (kTensorType).
std::vector<float> ReadFloats(const ggml_tensor* tensor);
// Of an I32 or I64 tensor.
std::vector<int64_t> ReadIntegers(const ggml_tensor* tensor);

// Throw Error(kTensorShape) unless the tensor is contiguous and of that size, or the bytes end inside of it; WriteFloats kTensorType and
// kTensorValue too: a quantised type takes finite numbers up to 65504, the largest scale that its blocks can hold.
void WriteBytes(ggml_tensor* tensor, const uint8_t* bytes, size_t size, size_t offset);
void WriteFloats(ggml_tensor* tensor, const float* values, size_t count);

}  // namespace sotto
