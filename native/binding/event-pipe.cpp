#include "binding/event-pipe.h"

#include <cstring>
#include <utility>

namespace sotto {
namespace {

napi_value Text(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

napi_value Number(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}

napi_value Boolean(napi_env env, bool flag) {
  napi_value value = nullptr;
  napi_get_boolean(env, flag, &value);
  return value;
}

class ObjectBuilder {
 public:
  explicit ObjectBuilder(napi_env env) : env_(env) { napi_create_object(env, &object_); }
  ObjectBuilder& Set(const char* name, napi_value value) {
    napi_set_named_property(env_, object_, name, value);
    return *this;
  }
  ObjectBuilder& Set(const char* name, double number) { return Set(name, Number(env_, number)); }
  ObjectBuilder& Set(const char* name, const std::string& text) { return Set(name, Text(env_, text)); }
  napi_value get() const { return object_; }

 private:
  napi_env env_;
  napi_value object_ = nullptr;
};

napi_value Bytes(napi_env env, napi_typedarray_type type, const void* source, size_t bytes, size_t elements) {
  void* data = nullptr;
  napi_value buffer = nullptr, array = nullptr;
  if (napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok) return nullptr;
  if (bytes > 0) std::memcpy(data, source, bytes);
  napi_create_typedarray(env, type, elements, buffer, 0, &array);
  return array;
}

napi_value LogprobOf(napi_env env, const TokenLogprob& entry, ObjectBuilder builder) {
  return builder.Set("token", double(entry.token))
      .Set("logprob", double(entry.logprob))
      .Set("bytes", Bytes(env, napi_uint8_array, entry.bytes.data(), entry.bytes.size(), entry.bytes.size()))
      .get();
}

napi_value LogprobsOf(napi_env env, const std::vector<TokenLogprobs>& tokens) {
  napi_value list = nullptr;
  napi_create_array_with_length(env, tokens.size(), &list);
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    napi_value top = nullptr;
    napi_create_array_with_length(env, tokens[i].top.size(), &top);
    for (uint32_t j = 0; j < tokens[i].top.size(); ++j) {
      napi_set_element(env, top, j, LogprobOf(env, tokens[i].top[j], ObjectBuilder(env)));
    }
    napi_set_element(env, list, i, LogprobOf(env, tokens[i].chosen, ObjectBuilder(env).Set("top", top)));
  }
  return list;
}

napi_value ResultOf(napi_env env, const Result& result) {
  constexpr const char* kReasons[] = {"stop", "length", "abort", "context"};
  return ObjectBuilder(env)
      .Set("finishReason", std::string(kReasons[int(result.finish_reason)]))
      .Set("stopString", result.stop_string)
      .Set("queueMs", result.queue_ms)
      .Set("promptMs", result.prompt_ms)
      .Set("firstTokenMs", result.first_token_ms)
      .Set("totalMs", result.total_ms)
      .Set("tokensPrompt", double(result.tokens_prompt))
      .Set("tokensReused", double(result.tokens_reused))
      .Set("tokensGenerated", double(result.tokens_generated))
      .Set("tokensDrafted", double(result.tokens_drafted))
      .Set("tokensAccepted", double(result.tokens_accepted))
      .get();
}

napi_value PayloadOf(napi_env env, const Event& event) {
  switch (event.kind) {
    case Event::Kind::kText:
    case Event::Kind::kReasoning: return Text(env, event.text);
    case Event::Kind::kToolCall:
      return ObjectBuilder(env)
          .Set("index", double(event.tool_index))
          .Set("id", event.tool_id)
          .Set("name", event.tool_name)
          .Set("arguments", event.text)
          .get();
    case Event::Kind::kLogprobs: return LogprobsOf(env, event.logprobs);
    case Event::Kind::kVectors:
      return ObjectBuilder(env)
          .Set("data", Bytes(env, napi_float32_array, event.vectors.data(), event.vectors.size() * sizeof(float),
                             event.vectors.size()))
          .Set("columns", double(event.columns))
          .get();
    case Event::Kind::kDone: return ResultOf(env, *event.result);
    case Event::Kind::kContext:
      return ObjectBuilder(env)
          .Set("tokens", double(event.context.tokens))
          .Set("bytes", double(event.context.bytes))
          .Set("parked", Boolean(env, event.context.parked))
          .get();
    case Event::Kind::kFailed:
      return ObjectBuilder(env).Set("code", std::string(ErrorCodeText(event.code))).Set("message", event.text).get();
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<EventPipe> EventPipe::Create(Napi::Env env, Napi::Function on_events,
                                             std::function<void(RequestId)> on_end) {
  std::shared_ptr<EventPipe> pipe(new EventPipe);
  pipe->on_end_ = std::move(on_end);
  auto* own = new std::shared_ptr<EventPipe>(pipe);  // freed by Finalized
  const napi_status status =
      napi_create_threadsafe_function(env, on_events, nullptr, Napi::String::New(env, "sotto events"), 0, 1, own,
                                      Finalized, pipe.get(), Deliver, &pipe->function_);
  if (status != napi_ok) {
    delete own;
    throw Napi::Error::New(env);
  }
  napi_unref_threadsafe_function(env, pipe->function_);  // rule 1
  return pipe;
}

void EventPipe::Push(std::vector<Event>&& events) {
  std::lock_guard lock(mutex_);
  if (!function_) return;
  for (Event& event : events) {
    // Text that JS has not seen yet grows in place: a blocked event loop finds one string, not a thousand.
    if (event.kind == Event::Kind::kText && !pending_.empty() && pending_.back().kind == Event::Kind::kText &&
        pending_.back().id == event.id) {
      pending_.back().text += event.text;
    } else {
      pending_.push_back(std::move(event));
    }
  }
  if (awake_) return;
  awake_ = true;
  if (napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) == napi_closing) function_ = nullptr;
}

void EventPipe::Begin(napi_env env, RequestId id) {
  in_flight_.insert(id);
  if (in_flight_.size() > 1) return;
  std::lock_guard lock(mutex_);
  if (function_) napi_ref_threadsafe_function(env, function_);
}

void EventPipe::Close() {
  closing_ = true;
  ReleaseWhenDone();
}

void EventPipe::End(napi_env env, RequestId id) {
  if (in_flight_.erase(id) == 0) return;
  on_end_(id);
  if (!in_flight_.empty()) return;
  std::lock_guard lock(mutex_);
  if (function_) napi_unref_threadsafe_function(env, function_);
}

void EventPipe::ReleaseWhenDone() {
  if (!closing_ || !in_flight_.empty()) return;
  std::lock_guard lock(mutex_);
  if (!function_) return;
  napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_release);
}

void EventPipe::Deliver(napi_env env, napi_value callback, void* context, void*) {
  if (!env) return;  // rule 2: nothing is allocated per wake-up
  EventPipe& pipe = *static_cast<EventPipe*>(context);
  std::vector<Event> events;
  {
    std::lock_guard lock(pipe.mutex_);
    events.swap(pipe.pending_);
    pipe.awake_ = false;
  }
  if (events.empty()) return;
  napi_value list = nullptr;
  napi_create_array_with_length(env, events.size() * 3, &list);
  uint32_t at = 0;
  for (const Event& event : events) {
    napi_set_element(env, list, at++, Number(env, event.id));
    napi_set_element(env, list, at++, Number(env, double(event.kind)));
    napi_set_element(env, list, at++, PayloadOf(env, event));
  }
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  // lib/'s function never throws; a worker that is being terminated refuses the call, and then nobody listens.
  napi_call_function(env, receiver, callback, 1, &list, nullptr);
  for (const Event& event : events) {
    if (event.kind == Event::Kind::kDone || event.kind == Event::Kind::kFailed) pipe.End(env, event.id);
  }
  pipe.ReleaseWhenDone();
}

void EventPipe::Finalized(napi_env, void* data, void*) {
  const std::unique_ptr<std::shared_ptr<EventPipe>> own(static_cast<std::shared_ptr<EventPipe>*>(data));
  std::lock_guard lock((*own)->mutex_);
  (*own)->function_ = nullptr;
  (*own)->pending_.clear();
}

}  // namespace sotto
