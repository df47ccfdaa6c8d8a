// context-state-wrap.h: class ContextState: a conversation's keys and values, copied out and in by pieces, so that no copy keeps the JS
// thread for long. Wiped when its last holder lets go.
#pragma once

#include "binding/napi-setup.h"
#include "engine/context-state.h"

namespace sotto {

class ContextStateWrap : public Napi::ObjectWrap<ContextStateWrap> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit ContextStateWrap(const Napi::CallbackInfo& info);

  static napi_value New(napi_env env, ContextStatePtr&& state);
  // Throws unless `value` is a ContextState that has one; it has none any more.
  static ContextStatePtr Take(const Napi::Value& value);

  static constexpr napi_type_tag kTag = {0x736f74746f636f6e, 0x7465787473740001};

 private:
  Napi::Value Tokens(const Napi::CallbackInfo& info);
  Napi::Value ByteLength(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  std::span<uint8_t> Piece(const Napi::CallbackInfo& info, std::span<uint8_t>& outside) const;
  ContextState& open() const;

  ContextStatePtr state_;  // null: closed
};

}  // namespace sotto
