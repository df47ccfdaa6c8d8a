#include "binding/context-state-wrap.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "binding/args.h"
#include "binding/environment.h"
#include "binding/wrap.h"

namespace sotto {
namespace {

constexpr double kMostBytes = 1ull << 40;
constexpr napi_type_tag kStateTag = {0x736f74746f737461, 0x7465000000000001};

}  // namespace

Napi::Function ContextStateWrap::Define(Napi::Env env) {
  return DefineClass(env, "ContextState",
                     {
                         Method<ContextStateWrap, &ContextStateWrap::Tokens>("tokens"),
                         Method<ContextStateWrap, &ContextStateWrap::ByteLength>("byteLength"),
                         Method<ContextStateWrap, &ContextStateWrap::Read>("read"),
                         Method<ContextStateWrap, &ContextStateWrap::Write>("write"),
                         Method<ContextStateWrap, &ContextStateWrap::Close>("close"),
                     });
}

// Of tokens and a number of bytes that will be written; or of a state, from New.
ContextStateWrap::ContextStateWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
  if (info[0].IsExternal() && info[0].As<Napi::External<ContextStatePtr>>().CheckTypeTag(&kStateTag)) {
    state_ = std::move(*info[0].As<Napi::External<ContextStatePtr>>().Data());
    return;
  }
  try {
    const double bytes = ReadNumber(info[1], "bytes");
    if (!(bytes >= 0 && bytes <= kMostBytes)) throw Error(ErrorCode::kOptionInvalid, "Expected bytes from 0 to 2^40");
    state_ = std::make_shared<ContextState>(ReadInts(info[0], "tokens"), size_t(bytes));
  } catch (const std::exception&) {
    throw ToJs(info.Env(), DescribeException(std::current_exception()));
  }
}

napi_value ContextStateWrap::New(napi_env env, ContextStatePtr&& state) {
  try {
    Napi::External<ContextStatePtr> external = Napi::External<ContextStatePtr>::New(env, &state);
    external.TypeTag(&kStateTag);
    return Environment::Of(env).context_state_class().New({external});
  } catch (const Napi::Error& error) {  // a worker that is being terminated makes no objects any more
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}

ContextStatePtr ContextStateWrap::Take(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) {
    throw Error(ErrorCode::kOptionInvalid, "Expected a ContextState");
  }
  ContextStateWrap* wrap = Unwrap(value.As<Napi::Object>());
  wrap->open();
  return std::exchange(wrap->state_, nullptr);
}

ContextState& ContextStateWrap::open() const {
  if (!state_) throw Error(ErrorCode::kOptionInvalid, "Expected a ContextState that is open");
  return *state_;
}

// tokens(): Int32Array
Napi::Value ContextStateWrap::Tokens(const Napi::CallbackInfo& info) {
  const std::span<const int32_t> tokens = open().tokens();
  Napi::Int32Array array = Napi::Int32Array::New(info.Env(), tokens.size());
  std::copy(tokens.begin(), tokens.end(), array.Data());
  return array;
}

// byteLength(): number
Napi::Value ContextStateWrap::ByteLength(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(open().bytes().size()));
}

// The part of the state that (offset, bytes) mean; `outside`: the caller's bytes.
std::span<uint8_t> ContextStateWrap::Piece(const Napi::CallbackInfo& info, std::span<uint8_t>& outside) const {
  const std::span<uint8_t> bytes = open().bytes();
  const double offset = ReadNumber(info[0], "offset");
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Error(ErrorCode::kOptionInvalid, "Expected bytes to be a Uint8Array");
  }
  Napi::Uint8Array array = info[1].As<Napi::Uint8Array>();
  outside = std::span<uint8_t>(array.Data(), array.ElementLength());
  if (!(offset >= 0 && offset <= double(bytes.size())) || outside.size() > bytes.size() - size_t(offset)) {
    throw Error(ErrorCode::kOptionInvalid, "Expected a piece of " + std::to_string(bytes.size()) + " bytes");
  }
  return bytes.subspan(size_t(offset), outside.size());
}

// read(offset: number, into: Uint8Array): void
Napi::Value ContextStateWrap::Read(const Napi::CallbackInfo& info) {
  std::span<uint8_t> outside;
  const std::span<uint8_t> piece = Piece(info, outside);
  std::copy(piece.begin(), piece.end(), outside.begin());
  return info.Env().Undefined();
}

// write(offset: number, bytes: Uint8Array): void
Napi::Value ContextStateWrap::Write(const Napi::CallbackInfo& info) {
  std::span<uint8_t> outside;
  const std::span<uint8_t> piece = Piece(info, outside);
  std::copy(outside.begin(), outside.end(), piece.begin());
  return info.Env().Undefined();
}

// close(): void
Napi::Value ContextStateWrap::Close(const Napi::CallbackInfo& info) {
  state_.reset();
  return info.Env().Undefined();
}

}  // namespace sotto
