// tensor-context.h: what a context of sotto/ggml is: an arena, and the rules of who may touch it when. Used on its JavaScript thread; while a
// graph computes, on another one, by nobody else.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/arena.h"
#include "tensor/operations.h"

namespace sotto {

class TensorContext {
 public:
  TensorContext(size_t bytes, const std::string& device) : arena_(std::in_place, bytes, device) {}

  ggml_tensor* NewTensor(ggml_type type, const std::vector<int64_t>& shape);
  // Runs the function, after everything that it would abort over, now or when it is computed, has been looked for.
  ggml_tensor* Apply(const Operation& operation, std::vector<Argument> arguments);

  // Throws Error(kTensorClosed, kTensorBusy).
  Arena& arena();
  Arena& computing() { return *arena_; }  // for the thread that computes

  // Rule 1: between these two only the computing thread touches the arena.
  void BeginCompute();
  void EndCompute();
  // Rule 2: what is computed with is freed afterwards; everything else at once. Idempotent.
  void Close();
  bool closed() const { return closed_; }

 private:
  std::optional<Arena> arena_;
  bool computing_ = false;
  bool closed_ = false;
};

}  // namespace sotto
