// event.h: what leaves the scheduler's thread. Plain structs; JavaScript sees them as [id, kind, payload].
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error-codes.h"

namespace sotto {

using RequestId = uint32_t;

// One generated token and its alternatives, for requests that asked for log-probabilities.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;  // natural logarithm, of the raw softmax before any sampler
  std::string bytes;  // the token's own bytes; may be part of a UTF-8 character
};
struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};

enum class FinishReason { kStop, kLength, kAbort, kContext };

// The last word of a request, whichever way it ended.
struct Result {
  FinishReason finish_reason = FinishReason::kStop;
  std::string stop_string;    // the stop string that ended it, if one did
  double queue_ms = 0;        // submit to admission
  double prompt_ms = 0;       // admission to the end of prefill
  double first_token_ms = 0;  // submit to first token sampled
  double total_ms = 0;        // submit to the end
  int32_t tokens_prompt = 0;
  int32_t tokens_reused = 0;
  int32_t tokens_generated = 0;
  int32_t tokens_drafted = 0;   // proposed before the model said them
  int32_t tokens_accepted = 0;  // of these, what it said then
};

// What is kept of a conversation.
struct ContextNews {
  int32_t tokens = 0;   // in the KV cache; 0: nothing any more
  uint64_t bytes = 0;   // of their keys and values
  bool parked = false;  // there was no room: out of the cache, to be taken by Save
};

struct Event {
  enum class Kind : uint8_t {
    kText,       // text: the next piece of the answer, whole UTF-8 characters
    kReasoning,  // text: the next piece of the model's reasoning
    kToolCall,   // tool_*: a piece of a tool call; text: the next piece of its JSON arguments
    kLogprobs,   // logprobs: of the tokens sampled since the last such event
    kVectors,    // vectors: rows × columns, embeddings or one score per row
    kDone,       // result
    kFailed,     // code, text: message
    kContext,    // context, of the conversation `id`, which is of another count than requests
  };

  RequestId id = 0;
  Kind kind = Kind::kText;
  ErrorCode code = ErrorCode::kInternal;
  int32_t tool_index = 0;
  std::string tool_id;
  std::string tool_name;
  std::string text;
  std::vector<TokenLogprobs> logprobs;
  std::vector<float> vectors;
  int32_t columns = 0;
  std::unique_ptr<Result> result;
  ContextNews context;

  static Event Text(RequestId id, std::string text) {
    Event event;
    event.id = id;
    event.text = std::move(text);
    return event;
  }
  static Event Failed(RequestId id, ErrorCode code, std::string message) {
    Event event;
    event.id = id;
    event.kind = Kind::kFailed;
    event.code = code;
    event.text = std::move(message);
    return event;
  }
  static Event Context(uint32_t id, const ContextNews& news) {
    Event event;
    event.id = id;
    event.kind = Kind::kContext;
    event.context = news;
    return event;
  }
  static Event Done(RequestId id, Result result) {
    Event event;
    event.id = id;
    event.kind = Kind::kDone;
    event.result = std::make_unique<Result>(std::move(result));
    return event;
  }
};

// Called on the scheduler's thread, once per step, with all events of that step. Must not block and not throw.
using EventSink = std::function<void(std::vector<Event>&&)>;

}  // namespace sotto
