// wrap.h: the one trampoline between a JavaScript call and a C++ method or function: checks what `this` is and turns
// C++ exceptions into coded JavaScript errors.
#pragma once

#include <exception>

#include "binding/errors.h"
#include "binding/napi-setup.h"

namespace sotto {

template <auto function>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw ToJs(info.Env(), DescribeException(std::current_exception()));
  }
}

// node-addon-api hands over `this` unseen; a method taken from one class and called on an object of another would read
// foreign memory, so the type tag is checked before the first member is touched.
template <typename Class, Napi::Value (Class::*method)(const Napi::CallbackInfo&)>
napi_value CallMethod(napi_env env, napi_callback_info raw) {
  return Napi::details::WrapCallback(env, [&]() -> napi_value {
    const Napi::CallbackInfo info(env, raw);
    const Napi::Value self = info.This();
    if (!self.IsObject() || !self.As<Napi::Object>().CheckTypeTag(&Class::kTag)) {
      throw Napi::TypeError::New(env, "Illegal invocation");
    }
    Class* object = Class::Unwrap(self.As<Napi::Object>());
    try {
      return (object->*method)(info);
    } catch (const Napi::Error&) {
      throw;
    } catch (...) {
      throw ToJs(env, DescribeException(std::current_exception()));
    }
  });
}

template <typename Class, Napi::Value (Class::*method)(const Napi::CallbackInfo&)>
Napi::ClassPropertyDescriptor<Class> Method(const char* name) {
  napi_property_descriptor descriptor = {};
  descriptor.utf8name = name;
  descriptor.method = CallMethod<Class, method>;
  descriptor.attributes = napi_default_method;
  return Napi::ClassPropertyDescriptor<Class>(descriptor);
}

}  // namespace sotto
