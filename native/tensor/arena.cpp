#include "tensor/arena.h"

#include <limits>

#include "base/error.h"
#include "tensor/tensor-info.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(begin, bytes) __asan_poison_memory_region(begin, bytes)
#define UNPOISON(begin, bytes) __asan_unpoison_memory_region(begin, bytes)
constexpr size_t kGap = 64;  // between tensors, which nobody may touch
#else
#define POISON(begin, bytes) (void)0
#define UNPOISON(begin, bytes) (void)0
constexpr size_t kGap = 0;
#endif

namespace sotto {
namespace {

ggml_backend_dev_t FindDevice(const std::string& name) {
  ggml_backend_dev_t device = name.empty() ? ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) : nullptr;
  for (size_t i = 0; !device && i < ggml_backend_dev_count(); ++i) {
    if (ggml_backend_dev_name(ggml_backend_dev_get(i)) == name) device = ggml_backend_dev_get(i);
  }
  if (device) return device;
  std::string names;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    names += (i ? ", " : "") + std::string(ggml_backend_dev_name(ggml_backend_dev_get(i)));
  }
  throw Error(ErrorCode::kOptionInvalid, "Expected device to be one of " + names + ", received \"" + name + "\"");
}

// A tensor that ggml can work with at all: no empty dimension, which its loops divide by, and none that leaves an int.
void CheckSize(const ggml_tensor* tensor, size_t most) {
  double elements = 1;
  for (const int64_t n : tensor->ne) {
    if (n < 1 || n > std::numeric_limits<int32_t>::max()) {
      throw Error(ErrorCode::kTensorShape, "Expected dimensions from 1 to " +
                                               std::to_string(std::numeric_limits<int32_t>::max()) + ", received " +
                                               Describe(tensor));
    }
    elements *= double(n);
  }
  const double bytes = elements / double(ggml_blck_size(tensor->type)) * double(ggml_type_size(tensor->type));
  if (elements / double(tensor->ne[0]) > double(std::numeric_limits<int32_t>::max())) {
    throw Error(ErrorCode::kTensorShape, "Expected at most 2^31 - 1 rows, received " + Describe(tensor));
  }
  if (bytes > double(most)) {
    throw Error(ErrorCode::kTensorMemory, "Expected a tensor that fits into memSize, " + std::to_string(most) +
                                              " bytes, received " + Describe(tensor));
  }
}

}  // namespace

Arena::Arena(size_t bytes, const std::string& device)
    : size_(bytes),
      device_(FindDevice(device)),
      buffer_(ggml_backend_buft_alloc_buffer(ggml_backend_dev_buffer_type(device_), bytes)) {
  if (!buffer_) {
    throw Error(ErrorCode::kTensorMemory, "Could not allocate " + std::to_string(bytes) + " bytes on " +
                                              ggml_backend_dev_name(device_) + ": choose a smaller memSize");
  }
  if (ggml_backend_buffer_is_host(buffer_.get())) POISON(ggml_backend_buffer_get_base(buffer_.get()), bytes);
}

ggml_backend_t Arena::backend() {
  if (!backend_) backend_.reset(ggml_backend_dev_init(device_, nullptr));
  if (!backend_) throw Error(ErrorCode::kGraphFailed, std::string("Could not start ") + ggml_backend_dev_name(device_));
  return backend_.get();
}

void Arena::Require(size_t bytes) const {
  if (bytes <= size_ - used()) return;
  throw Error(ErrorCode::kTensorMemory, "Expected room for " + std::to_string(bytes) + " bytes more, have " +
                                            std::to_string(size_ - used()) + " of " + std::to_string(size_) +
                                            ": make the context with a larger memSize");
}

void Arena::Place(ggml_tensor* tensor) {
  CheckSize(tensor, size_);
  if (tensor->view_src) {
    ggml_backend_view_init(tensor);
    return;
  }
  char* const base = static_cast<char*>(ggml_backend_buffer_get_base(buffer_.get()));
  const size_t alignment = ggml_backend_buffer_get_alignment(buffer_.get());
  const size_t begin = (used_ + kGap + alignment - 1) / alignment * alignment;
  const size_t bytes = ggml_backend_buffer_get_alloc_size(buffer_.get(), tensor);
  Require(begin - used_ + bytes);
  used_ = begin + bytes;
  if (ggml_backend_buffer_is_host(buffer_.get())) UNPOISON(base + begin, bytes);
  if (ggml_backend_tensor_alloc(buffer_.get(), tensor, base + begin) != GGML_STATUS_SUCCESS) {
    throw Error(ErrorCode::kTensorMemory, "The device could not place " + Describe(tensor));
  }
  // What was in this memory before is nobody's business.
  ggml_backend_tensor_memset(tensor, 0, 0, ggml_nbytes(tensor));
}

void Arena::Make(size_t headers, const std::function<void(ggml_context*)>& build,
                 const std::function<void(const ggml_tensor*)>& check) {
  Require(headers);
  const size_t used_before = used_, headers_before = headers_;
  Chunk chunk;
  chunk.memory.reset(new char[headers]);
  // ggml asserts that it got memory, so it is given some.
  chunk.context.reset(ggml_init({headers, chunk.memory.get(), true}));
  headers_ += headers;
  try {
    build(chunk.context.get());
    for (ggml_tensor* tensor = ggml_get_first_tensor(chunk.context.get()); tensor;
         tensor = ggml_get_next_tensor(chunk.context.get(), tensor)) {
      Place(tensor);
      check(tensor);
    }
    chunks_.push_back(std::move(chunk));
  } catch (...) {
    if (ggml_backend_buffer_is_host(buffer_.get())) {
      POISON(static_cast<char*>(ggml_backend_buffer_get_base(buffer_.get())) + used_before, used_ - used_before);
    }
    used_ = used_before;
    headers_ = headers_before;
    throw;
  }
}

}  // namespace sotto
