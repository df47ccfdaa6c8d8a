// request.h: what enters the scheduler's thread. RequestOptions is what JavaScript said; PrepareRequest turns it into a
// Request (tokens, sampler chain, parser) on a libuv thread, so that neither JS nor the scheduler waits for a
// tokenizer.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/chat-format.h"
#include "engine/event.h"
#include "engine/sampler.h"
#include "engine/speculation.h"

namespace sotto {

class Model;

using Clock = std::chrono::steady_clock;

// 0 where one of them never came.
inline double MillisecondsBetween(Clock::time_point from, Clock::time_point to) {
  if (from == Clock::time_point{} || to == Clock::time_point{}) return 0;
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// The two flags another thread may set while a request lives. Shared by the binding and the scheduler.
struct RequestControl {
  std::atomic<bool> cancelled{false};
  std::atomic<bool> paused{false};  // a reader that does not read pauses its own sequence, never the batch
};
using RequestControlPtr = std::shared_ptr<RequestControl>;

enum class Overflow { kError, kShift };

struct CompletionOptions {
  // Exactly one of the three is the prompt.
  std::optional<std::string> prompt;           // UTF-8
  std::optional<std::vector<int32_t>> tokens;  // already tokenized
  std::optional<ChatInput> chat;               // rendered by the model's template

  bool add_special = true;     // BOS/EOS where the model wants them; prompt only
  bool parse_special = false;  // read <|…|> in the prompt as control tokens; prompt only
  int32_t max_tokens = -1;     // -1: until the context is full or the model stops
  bool ignore_eos = false;
  Overflow overflow = Overflow::kError;
  std::vector<std::string> stop;
  int32_t logprobs = -1;  // -1: none; n ≥ 0: the chosen token and the n most likely
  bool reuse_prefix = true;
  uint32_t context = 0;     // the conversation that this is a turn of, whose cells are kept for it; 0: none
  std::string grammar;      // GBNF; exclusive with json_schema
  std::string json_schema;  // JSON text
  std::optional<SpeculationMode> speculation;  // none: as the scheduler was told
  SamplingOptions sampling;
};

enum class EmbeddingTask { kEmbed, kRerank };

struct EmbeddingOptions {
  EmbeddingTask task = EmbeddingTask::kEmbed;
  std::vector<std::string> inputs;  // texts, or documents for kRerank
  std::string query;                // kRerank only
  bool normalize = true;            // Euclidean length 1; kEmbed only
  bool truncate = false;            // cut an input that is longer than the context instead of failing
};

// The beginning that conversations have in common: that of the prompts of all `chats`.
struct PinOptions {
  std::vector<ChatInput> chats;
};

struct RequestOptions {
  RequestId id = 0;
  std::string principal;  // KV reuse never crosses principals
  std::optional<CompletionOptions> completion;
  std::optional<EmbeddingOptions> embedding;
  std::optional<PinOptions> pin;
};

// Ready for the scheduler: nothing here needs text work or can fail for a reason the caller could have known.
struct Request {
  RequestId id = 0;
  std::string principal;
  RequestControlPtr control;
  Clock::time_point submitted;

  // completion
  std::vector<int32_t> tokens;
  int32_t max_tokens = -1;
  bool ignore_eos = false;
  bool reuse_prefix = true;
  uint32_t context = 0;
  bool pin = false;                       // `tokens` are to be computed and kept for everybody; nothing is generated
  std::vector<int32_t> preserved_tokens;  // control tokens that a chat parser must see as text
  Overflow overflow = Overflow::kError;
  std::vector<std::string> stop;
  int32_t logprobs = -1;
  std::optional<SpeculationMode> speculation;
  std::unique_ptr<Sampler> sampler;
  std::unique_ptr<ChatParser> parser;  // null: text goes out as it is

  // embedding
  std::optional<EmbeddingTask> embedding;
  std::vector<std::vector<int32_t>> inputs;
  bool truncate = false;
  bool normalize = true;
};

// Throws Error. Any thread; reads only what is immutable in `model`.
std::unique_ptr<Request> PrepareRequest(const Model& model, RequestOptions&& options, RequestControlPtr control,
                                        Clock::time_point submitted);

}  // namespace sotto
