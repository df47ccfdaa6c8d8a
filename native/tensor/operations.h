// operations.h: the one table of ggml's functions that make or change tensors: name, parameters, what must hold before ggml is called, and the
// call. Arity and types come from ggml.h by way of the compiler; scripts/check-native.mjs compares names and parameters with the header.
#pragma once

#include <ggml.h>

#include <string>
#include <vector>

#include "tensor/call.h"

namespace sotto {

struct Operation {
  const char* name;        // ggml_mul_mat
  const char* parameters;  // "a b": their names, without the context
  // A letter each: t tensor, o tensor or nothing, i int, l int64, z size, f float, b bool, e enum, s four ints, n four int64.
  std::string kinds;
  int nodes;  // most tensors it makes
  void (*rule)(const Call&);
  ggml_tensor* (*build)(ggml_context*, const Call&);
};

const std::vector<Operation>& Operations();

}  // namespace sotto
