#include "binding/args.h"

#include <cmath>

#include "base/error.h"

namespace sotto {
namespace {

[[noreturn]] void Refuse(const char* name, const std::string& expected) {
  throw Error(ErrorCode::kOptionInvalid, std::string("Expected ") + name + " to be " + expected);
}

}  // namespace

std::string ReadString(const Napi::Value& value, const char* name) {
  if (!value.IsString()) Refuse(name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

double ReadNumber(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) Refuse(name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

int32_t ReadInt(const Napi::Value& value, const char* name, int32_t least, int32_t most) {
  const double number = ReadNumber(value, name);
  if (std::trunc(number) == number && number >= least && number <= most) return int32_t(number);
  Refuse(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
}

uint32_t ReadUnsigned(const Napi::Value& value, const char* name) {
  const double number = ReadNumber(value, name);
  if (std::trunc(number) == number && number >= 0 && number <= UINT32_MAX) return uint32_t(number);
  Refuse(name, "an integer from 0 to " + std::to_string(UINT32_MAX));
}

bool ReadBool(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) Refuse(name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

Napi::Object ReadObject(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) Refuse(name, "an object");
  return value.As<Napi::Object>();
}

Napi::Function ReadFunction(const Napi::Value& value, const char* name) {
  if (!value.IsFunction()) Refuse(name, "a function");
  return value.As<Napi::Function>();
}

std::vector<std::string> ReadStrings(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) Refuse(name, "an array of strings");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) strings.push_back(ReadString(array.Get(i), name));
  return strings;
}

std::vector<int32_t> ReadInts(const Napi::Value& value, const char* name) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const Napi::Int32Array array = value.As<Napi::Int32Array>();
    return std::vector<int32_t>(array.Data(), array.Data() + array.ElementLength());
  }
  if (!value.IsArray()) Refuse(name, "an Int32Array or an array of integers");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int32_t> ints;
  for (uint32_t i = 0; i < array.Length(); ++i) ints.push_back(ReadInt(array.Get(i), name));
  return ints;
}

std::string StringField(const Napi::Object& object, const char* name) { return ReadString(object.Get(name), name); }
float FloatField(const Napi::Object& object, const char* name) { return float(ReadNumber(object.Get(name), name)); }
int32_t IntField(const Napi::Object& object, const char* name, int32_t least, int32_t most) {
  return ReadInt(object.Get(name), name, least, most);
}
bool BoolField(const Napi::Object& object, const char* name) { return ReadBool(object.Get(name), name); }

}  // namespace sotto
