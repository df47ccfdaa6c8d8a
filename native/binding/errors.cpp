#include "binding/errors.h"

#include <new>

namespace sotto {

Failure DescribeException(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kModelMemory, "Out of memory"};
  } catch (const std::exception& other) {
    return {ErrorCode::kInternal, other.what()};
  } catch (...) {
    return {ErrorCode::kInternal, "Unknown exception"};
  }
}

napi_value MakeError(napi_env env, ErrorCode code, const std::string& message) {
  napi_value code_value = nullptr, text = nullptr, error = nullptr;
  napi_create_string_utf8(env, ErrorCodeText(code), NAPI_AUTO_LENGTH, &code_value);
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_create_error(env, code_value, text, &error);
  return error;
}

Napi::Error ToJs(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Value().Set("code", ErrorCodeText(failure.code));
  return error;
}

}  // namespace sotto
