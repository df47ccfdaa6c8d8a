// error.h: the one exception of our C++. Thrown on cold paths only (load, prepare); the scheduler's loop emits
// Event::Failed instead, so that one bad request never unwinds through the batch of the others.
#pragma once

#include <stdexcept>
#include <string>

#include "base/error-codes.h"

namespace sotto {

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace sotto
