#include "tensor/call.h"

#include <cstdio>

#include "tensor/tensor-info.h"

namespace sotto {

std::string Call::name(size_t i) const {
  const char* begin = parameters_;
  for (; i > 0 && *begin; ++begin) {
    if (*begin == ' ') --i;
  }
  const char* end = begin;
  while (*end && *end != ' ') ++end;
  return std::string(begin, end);
}

void Call::Range(size_t i, int64_t least, int64_t most) const {
  if (integer(i) >= least && integer(i) <= most) return;
  Fail(ErrorCode::kOptionInvalid,
       name(i) + " to be an integer from " + std::to_string(least) + " to " + std::to_string(most));
}

void Call::Fail(ErrorCode code, const std::string& expected) const {
  std::string text = std::string(function_) + ": expected " + expected + ", received";
  for (size_t i = 0; i < arguments_.size(); ++i) {
    const Argument& argument = arguments_[i];
    text += (i ? ", " : " ") + name(i) + " ";
    if (argument.tensor) {
      text += Describe(argument.tensor);
    } else if (!argument.list.empty()) {
      text += "[";
      for (size_t k = 0; k < argument.list.size(); ++k) text += (k ? ", " : "") + std::to_string(argument.list[k]);
      text += "]";
    } else {
      char number[32];
      std::snprintf(number, sizeof(number), "%.9g", argument.number);
      text += number;
    }
  }
  throw Error(code, text);
}

}  // namespace sotto
