// args.h: JavaScript values into plain C++ ones, with a coded error for every wrong type. lib/ checks first and says it
// better; this is the second line, so that no caller can crash the process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "binding/napi-setup.h"

namespace sotto {

std::string ReadString(const Napi::Value& value, const char* name);
double ReadNumber(const Napi::Value& value, const char* name);
int32_t ReadInt(const Napi::Value& value, const char* name, int32_t least = -INT32_MAX, int32_t most = INT32_MAX);
uint32_t ReadUnsigned(const Napi::Value& value, const char* name);
bool ReadBool(const Napi::Value& value, const char* name);
Napi::Object ReadObject(const Napi::Value& value, const char* name);
Napi::Function ReadFunction(const Napi::Value& value, const char* name);
std::vector<std::string> ReadStrings(const Napi::Value& value, const char* name);
std::vector<int32_t> ReadInts(const Napi::Value& value, const char* name);  // Int32Array or array of numbers

// A field of an options object.
std::string StringField(const Napi::Object& object, const char* name);
float FloatField(const Napi::Object& object, const char* name);
int32_t IntField(const Napi::Object& object, const char* name, int32_t least = -INT32_MAX, int32_t most = INT32_MAX);
bool BoolField(const Napi::Object& object, const char* name);

}  // namespace sotto
