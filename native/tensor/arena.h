// arena.h: the memory of a context, on one device: tensors one behind the other in one buffer, their headers in small ggml contexts beside
// it. All of it counts against the size that was asked for, and all of it goes at once.
#pragma once

#include <ggml-cpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sotto {

class Arena {
 public:
  // `device`: a name of ggml_backend_dev_name, or empty: the CPU. Throws Error(kTensorMemory, kOptionInvalid).
  Arena(size_t bytes, const std::string& device);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Runs `build` with a ggml context that has room for `headers` bytes, then gives every tensor made in it memory, filled with zeros, and
  // lets `check` see it. When anything throws, nothing has happened.
  void Make(size_t headers, const std::function<void(ggml_context*)>& build,
            const std::function<void(const ggml_tensor*)>& check);

  ggml_backend_dev_t device() const { return device_; }
  ggml_backend_t backend();  // made when first asked for
  // After an exception out of it: ggml's CPU backend frees its work buffer before it allocates a larger one, and would free it again.
  void AbandonBackend() { (void)backend_.release(); }
  bool Holds(const ggml_tensor* tensor) const { return tensor->buffer == buffer_.get(); }
  size_t size() const { return size_; }
  size_t used() const { return used_ + headers_; }

 private:
  struct Chunk {
    std::unique_ptr<char[]> memory;  // outlives context
    ggml_context_ptr context;
  };
  void Place(ggml_tensor* tensor);
  void Require(size_t bytes) const;

  size_t size_;
  ggml_backend_dev_t device_;
  ggml_backend_buffer_ptr buffer_;
  ggml_backend_ptr backend_;
  std::vector<Chunk> chunks_;
  size_t used_ = 0, headers_ = 0;
};

}  // namespace sotto
