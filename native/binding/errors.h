// errors.h: C++ failures as JavaScript errors with a `code`; lib/native.ts makes SottoErrors of them.
#pragma once

#include <exception>
#include <string>

#include "base/error.h"
#include "binding/napi-setup.h"

namespace sotto {

// What a C++ exception says to JavaScript.
struct Failure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};
Failure DescribeException(const std::exception_ptr& exception);

// Raw on purpose: works while the environment is being torn down, where node-addon-api would throw.
napi_value MakeError(napi_env env, ErrorCode code, const std::string& message);

Napi::Error ToJs(Napi::Env env, const Failure& failure);

}  // namespace sotto
