// chat-format.h: messages and tools into a prompt, text back into content, reasoning and tool calls. Upstream's
// common/chat does the formats; this file keeps its types out of our headers, guards the template (it is a program from a file),
// and parses incrementally.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/event.h"
#include "engine/grammar.h"

namespace sotto {

class Model;

struct ChatInput {
  std::string messages_json;  // OpenAI-shaped array of messages
  std::string tools_json;     // OpenAI-shaped array of tools, or empty
  std::string tool_choice;    // auto | required | none; empty: auto
  bool parallel_tool_calls = false;
  bool add_generation_prompt = true;
  bool enable_thinking = true;
  std::string template_override;     // Jinja; empty: the model's own
  std::string template_kwargs_json;  // extra template variables as a JSON object, or empty
  std::string json_schema;           // constrains the answer, or empty
  std::string grammar;               // the same as GBNF, or empty
};

// Incremental: each Push gives what is new since the last one. A Push costs O(new text) for plain content; for formats
// with tool calls or reasoning upstream parses the whole answer again, so parsing is spaced out to stay a small share
// of the step.
class ChatParser {
 public:
  virtual ~ChatParser() = default;
  // Appends kText, kReasoning and kToolCall events for request `id`. `last` flushes what was held back.
  // Never throws: text that does not parse goes out as content.
  virtual void Push(RequestId id, const std::string& text, bool last, std::vector<Event>& out) = 0;
};

struct ChatPrompt {
  std::string text;
  GrammarSpec grammar;
  std::string grammar_prefill;  // text of the prompt that the grammar expects to have seen
  std::vector<std::string> stop;
  std::vector<std::string> preserved_tokens;  // must be rendered as text so the parser sees them
  std::unique_ptr<ChatParser> parser;         // null when the answer is plain content
};

// The model's templates, compiled once per model. Immutable, any thread.
class ChatFormat {
 public:
  // Never throws: a model without a usable template gives a ChatFormat whose Apply throws
  // kTemplateMissing/kTemplateInvalid.
  explicit ChatFormat(const llama_model* model);
  ~ChatFormat();
  ChatFormat(const ChatFormat&) = delete;
  ChatFormat& operator=(const ChatFormat&) = delete;

  ChatPrompt Apply(const ChatInput& input) const;  // throws Error
  const std::string& template_text() const;        // empty when the model has none
  bool supports_tools() const;
  bool supports_thinking() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto
