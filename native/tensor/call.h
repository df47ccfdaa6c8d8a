// call.h: one call of one of ggml's functions, with arguments that are plain values by now, and how it is refused: every rule says what was
// expected, the error adds what was received.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace sotto {

struct Argument {
  ggml_tensor* tensor = nullptr;
  double number = 0;
  std::vector<int64_t> list;
};

class Call {
 public:
  // `parameters`: names as in ggml.h, separated by blanks.
  Call(const char* function, const char* parameters, std::vector<Argument> arguments)
      : function_(function), parameters_(parameters), arguments_(std::move(arguments)) {}

  ggml_tensor* tensor(size_t i) const { return arguments_[i].tensor; }
  int64_t integer(size_t i) const { return int64_t(arguments_[i].number); }
  float real(size_t i) const { return float(arguments_[i].number); }
  const Argument& argument(size_t i) const { return arguments_[i]; }
  size_t size() const { return arguments_.size(); }
  std::string name(size_t i) const;  // of a parameter

  void Shape(bool ok, const char* expected) const {
    if (!ok) Fail(ErrorCode::kTensorShape, expected);
  }
  void Type(bool ok, const char* expected) const {
    if (!ok) Fail(ErrorCode::kTensorType, expected);
  }
  void Option(bool ok, const char* expected) const {
    if (!ok) Fail(ErrorCode::kOptionInvalid, expected);
  }
  // `i`-th argument, an integer.
  void Range(size_t i, int64_t least, int64_t most) const;
  [[noreturn]] void Fail(ErrorCode code, const std::string& expected) const;

 private:
  const char* function_;
  const char* parameters_;
  std::vector<Argument> arguments_;
};

// What ggml's constructors assert, and divide by, is checked by the rule of each function (operations.cpp); what computing a node asserts or
// silently takes for granted, by its operation, here. `node` is built and its sources are known.
void CheckNode(const Call& call, const ggml_tensor* node);

}  // namespace sotto
