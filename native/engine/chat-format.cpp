#include "engine/chat-format.h"

#include <chat.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <log.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"
#include "engine/json-shape.h"
#include "engine/schema-limits.h"
#include "engine/template-limits.h"

// Upstream keeps this opaque, but only through it can a template be replaced by the same template with limits. It must be what
// common/chat.cpp of the vendored version says, word for word; test/native/chat-format-test.cpp breaks when it is not.
struct common_chat_templates {
  bool add_bos;
  bool add_eos;
  bool has_explicit_template;
  std::unique_ptr<common_chat_template> template_default;
  std::unique_ptr<common_chat_template> template_tool_use;
};

namespace sotto {
namespace {

constexpr size_t kDeepestInput = 128;
constexpr size_t kMostTools = 1024;
constexpr size_t kLongestReason = 300;

[[noreturn]] void Refuse(const std::string& why) { throw Error(ErrorCode::kTemplateInvalid, why); }

// Upstream's errors quote the template around the place; what matters is the last line that begins with "Error: ".
std::string ReasonOf(const std::exception& exception) {
  std::string reason = exception.what();
  const std::string mark = "Error: ";
  const size_t at = reason.rfind(mark);
  if (at != std::string::npos) reason = reason.substr(at + mark.size());
  std::string held;
  const bool shorten = reason.size() > kLongestReason;
  return TakeWholeCharacters(held, std::string_view(reason).substr(0, kLongestReason)) + (shorten ? "…" : "");
}

void CheckShape(const std::string& text, const char* what) {
  const JsonShape shape = ShapeOfJson(text);
  if (shape.depth > kDeepestInput)
    Refuse(std::string("Expected ") + what + " nested at most " + std::to_string(kDeepestInput) + " deep");
  if (shape.width > kWidestJsonObject) Refuse(std::string("Expected objects of at most 4096 members in ") + what);
}

common_json ParseJson(const std::string& text, const char* what) {
  CheckShape(text, what);
  try {
    return common_json::parse(text);
  } catch (const std::exception& exception) {
    Refuse(std::string("Expected ") + what + " to be JSON: " + ReasonOf(exception));
  }
}

// Accumulates the answer and lets upstream parse it whole, at most so often that parsing stays under a tenth of the
// time.
class UpstreamParser : public ChatParser {
 public:
  explicit UpstreamParser(common_chat_parser_params params) : params_(std::move(params)) {}

  void Push(RequestId id, const std::string& text, bool last, std::vector<Event>& out) override {
    text_ += text;
    pending_ |= !text.empty();
    const auto now = Clock::now();
    if (!last && (!pending_ || now < next_)) return;
    try {
      common_chat_msg message = Parse(last);
      for (size_t i = 0; i < message.tool_calls.size(); ++i) {
        if (message.tool_calls[i].id.empty())
          message.tool_calls[i].id = "call_" + std::to_string(id) + "_" + std::to_string(i);
      }
      Emit(id, std::move(message), out);
    } catch (const std::exception&) {
      // Not parseable yet, or a later parse contradicts what was shown: the reader keeps what it has.
    }
    pending_ = false;
    const auto done = Clock::now();
    next_ = done + (done - now) * 9;
  }

 private:
  using Clock = std::chrono::steady_clock;

  common_chat_msg Parse(bool last) const {
    try {
      return common_chat_parse(text_, !last, params_);
    } catch (const std::exception&) {
      // The end of an answer that is in no format: all of it is content, unless a part was already shown as something else.
      if (!last || !seen_.reasoning_content.empty() || !seen_.tool_calls.empty() || !text_.starts_with(seen_.content))
        throw;
      common_chat_msg message;
      message.role = "assistant";
      message.content = text_;
      return message;
    }
  }

  // A parse of more text may find less: the beginning of a tag was content until it was a tag. What was shown stays shown.
  static void KeepLonger(const std::string& shown, std::string& text) {
    if (shown.size() > text.size() && shown.starts_with(text)) text = shown;
  }

  void Emit(RequestId id, common_chat_msg message, std::vector<Event>& out) {
    KeepLonger(seen_.content, message.content);
    KeepLonger(seen_.reasoning_content, message.reasoning_content);
    for (size_t i = 0; i < std::min(seen_.tool_calls.size(), message.tool_calls.size()); ++i) {
      KeepLonger(seen_.tool_calls[i].arguments, message.tool_calls[i].arguments);
    }
    for (common_chat_msg_diff& diff : common_chat_msg_diff::compute_diffs(seen_, message)) {
      Event event;
      event.id = id;
      if (!diff.reasoning_content_delta.empty()) {
        event.kind = Event::Kind::kReasoning;
        event.text = std::move(diff.reasoning_content_delta);
      } else if (!diff.content_delta.empty()) {
        event.text = std::move(diff.content_delta);
      } else if (diff.tool_call_index != std::string::npos) {
        event.kind = Event::Kind::kToolCall;
        event.tool_index = int32_t(diff.tool_call_index);
        event.tool_id = diff.tool_call_delta.id;
        event.tool_name = diff.tool_call_delta.name;
        event.text = diff.tool_call_delta.arguments;
      } else {
        continue;
      }
      out.push_back(std::move(event));
    }
    seen_ = std::move(message);
  }

  common_chat_parser_params params_;
  std::string text_;
  common_chat_msg seen_;
  bool pending_ = false;
  Clock::time_point next_{};
};

std::string EscapeRegex(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string(".^$|()*+?[]{}\\").find(c) != std::string::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

GrammarSpec ReadGrammar(const common_chat_params& params) {
  GrammarSpec spec;
  spec.text = params.grammar;
  spec.lazy = params.grammar_lazy && !params.grammar_triggers.empty();
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    switch (trigger.type) {
      case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: spec.trigger_patterns.push_back(EscapeRegex(trigger.value)); break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN: spec.trigger_patterns.push_back(trigger.value); break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
        spec.trigger_patterns.push_back((trigger.value.starts_with('^') ? "" : "^") + trigger.value +
                                        (trigger.value.ends_with('$') ? "" : "$"));
        break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN: spec.trigger_tokens.push_back(trigger.token); break;
      default: break;
    }
  }
  return spec;
}

// Upstream probes a template as soon as it is parsed, when nothing can limit it yet. So upstream gets it behind a statement that
// stops it, and parses it once more without that, into a program that counts.
constexpr std::string_view kStop = "{{ raise_exception('') }}";

void LimitParsed(common_chat_template& parsed, bool newline) {
  const std::string source = parsed.src.substr(kStop.size()) + (newline ? "\n" : "");
  const jinja::lexer_result lexed = jinja::lexer().tokenize(source);
  parsed.prog = jinja::parse_from_tokens(lexed);
  parsed.src = lexed.source;
  LimitTemplate(parsed.prog);
  parsed.caps = jinja::caps_get(parsed.prog);
}

void ParseTemplate(const std::string& source) {
  CheckTemplateText(source);
  try {
    jinja::parse_from_tokens(jinja::lexer().tokenize(source));
  } catch (const std::exception& exception) {
    Refuse("The chat template does not parse: " + ReasonOf(exception));
  }
}

void CheckBudget(const TemplateBudget& budget) {
  if (budget.exceeded()) Refuse(std::string("The chat template ") + budget.exceeded());
}

// Upstream's logger would start a thread of its own to say what its exceptions say too.
void SilenceUpstream() {
  static const bool silenced = [] {
    common_log_set_verbosity_thold(-1);
    return true;
  }();
  (void)silenced;
}

common_chat_templates_ptr Compile(const llama_model* model, std::string source, const std::string& tool_use) {
  SilenceUpstream();
  if (source == "chatml") source = common_chat_templates_source(common_chat_templates_init(nullptr, source).get());
  ParseTemplate(source);
  if (!tool_use.empty()) ParseTemplate(tool_use);
  const LogCapture log;
  TemplateBudget budget;
  try {
    common_chat_templates_ptr templates = common_chat_templates_init(model, std::string(kStop) + source);
    common_chat_template& parsed = *templates->template_default;
    LimitParsed(parsed, source.ends_with('\n'));
    if (!tool_use.empty()) {
      templates->template_tool_use =
          std::make_unique<common_chat_template>(std::string(kStop) + tool_use, parsed.bos_tok, parsed.eos_tok);
      LimitParsed(*templates->template_tool_use, tool_use.ends_with('\n'));
    }
    CheckBudget(budget);
    return templates;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& exception) {
    CheckBudget(budget);
    Refuse("The chat template does not parse: " + ReasonOf(exception));
  }
}

std::vector<common_chat_msg> ReadMessages(const std::string& json) {
  const common_json messages = ParseJson(json, "messages");
  if (!messages.is_array() || messages.empty()) Refuse("Expected messages to be an array with at least one message");
  std::vector<common_chat_msg> read = common_chat_msgs_parse_oaicompat(messages);
  // Arguments are JSON in a string, which upstream parses when the template wants objects.
  for (const common_chat_msg& message : read) {
    for (const common_chat_tool_call& call : message.tool_calls) CheckShape(call.arguments, "arguments of tool calls");
  }
  return read;
}

std::vector<common_chat_tool> ReadTools(const std::string& json) {
  const common_json given = ParseJson(json, "tools");
  if (!given.is_array() || given.size() > kMostTools) {
    Refuse(
        "Expected tools to be an array of at most 1024 { type: \"function\", function: { name, description, parameters "
        "} }");
  }
  for (size_t i = 0; i < given.size(); ++i) {
    const common_json& tool = given.at(i);
    const bool named = tool.is_object() && tool.contains("type") && tool.at("type") == "function" &&
                       tool.contains("function") && tool.at("function").is_object() &&
                       tool.at("function").contains("name") && tool.at("function").at("name").is_string() &&
                       !tool.at("function").at("name").get<std::string>().empty();
    if (!named) {
      Refuse("Expected tools[" + std::to_string(i) +
             "] to be { type: \"function\", function: { name, description, parameters } }");
    }
  }
  std::vector<common_chat_tool> tools = common_chat_tools_parse_oaicompat(given);
  for (common_chat_tool& tool : tools) {
    if (tool.parameters.empty() || tool.parameters == "null") tool.parameters = "{}";
    try {
      tool.parameters = CheckedSchema(tool.parameters);
    } catch (const Error& error) {
      Refuse("The parameters of the tool " + tool.name.substr(0, 60) + ": " + error.what());
    }
  }
  return tools;
}

common_chat_tool_choice ReadToolChoice(const std::string& choice, bool tools) {
  if (choice.empty() || choice == "auto") return COMMON_CHAT_TOOL_CHOICE_AUTO;
  if (choice == "none") return COMMON_CHAT_TOOL_CHOICE_NONE;
  if (choice != "required")
    Refuse("Expected toolChoice to be auto, required or none, received \"" + choice.substr(0, 40) + "\"");
  if (!tools) Refuse("Expected tools when toolChoice is required");
  return COMMON_CHAT_TOOL_CHOICE_REQUIRED;
}

common_chat_templates_inputs ReadInput(const ChatInput& input) {
  common_chat_templates_inputs inputs;
  inputs.messages = ReadMessages(input.messages_json);
  if (!input.tools_json.empty()) inputs.tools = ReadTools(input.tools_json);
  inputs.tool_choice = ReadToolChoice(input.tool_choice, !inputs.tools.empty());
  if (!input.template_kwargs_json.empty()) {
    const common_json arguments = ParseJson(input.template_kwargs_json, "templateArguments");
    if (!arguments.is_object()) Refuse("Expected templateArguments to be an object");
    for (const auto& item : arguments.items()) inputs.chat_template_kwargs[item.key()] = item.value().dump();
  }
  const bool tools = !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
  if (tools && !(input.grammar.empty() && input.json_schema.empty())) {
    throw Error(ErrorCode::kOptionInvalid,
                "Expected tools, grammar or jsonSchema, received more than one: tools make their own grammar");
  }
  inputs.parallel_tool_calls = input.parallel_tool_calls;
  inputs.add_generation_prompt = input.add_generation_prompt;
  inputs.enable_thinking = input.enable_thinking;
  inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  inputs.grammar = input.grammar;
  if (!input.json_schema.empty()) inputs.json_schema = CheckedSchema(input.json_schema);
  return inputs;
}

}  // namespace

struct ChatFormat::Impl {
  const llama_model* model = nullptr;
  std::string source;
  std::string defect;  // why the model's own template cannot be used
  common_chat_templates_ptr templates;
  bool tools = false, thinking = false;
};

ChatFormat::ChatFormat(const llama_model* model) : impl_(std::make_unique<Impl>()) {
  impl_->model = model;
  const char* own = llama_model_chat_template(model, nullptr);
  const char* tool_use = llama_model_chat_template(model, "tool_use");
  if (!own) return;
  impl_->source = own;
  try {
    impl_->templates = Compile(model, impl_->source, tool_use ? tool_use : "");
    const auto capabilities = common_chat_templates_get_caps(impl_->templates.get());
    const auto tools = capabilities.find("supports_tools");
    impl_->tools = tools != capabilities.end() && tools->second;
    TemplateBudget budget;
    try {
      impl_->thinking = common_chat_templates_support_enable_thinking(impl_->templates.get());
    } catch (const std::exception&) {
      // The template refuses upstream's sample conversation; that says nothing about other conversations.
    }
    CheckBudget(budget);
  } catch (const std::exception& exception) {
    impl_->templates.reset();
    impl_->defect = exception.what();
  }
}

ChatFormat::~ChatFormat() = default;
const std::string& ChatFormat::template_text() const { return impl_->source; }
bool ChatFormat::supports_tools() const { return impl_->tools; }
bool ChatFormat::supports_thinking() const { return impl_->thinking; }

ChatPrompt ChatFormat::Apply(const ChatInput& input) const {
  common_chat_templates_ptr given;
  if (!input.template_override.empty()) given = Compile(impl_->model, input.template_override, {});
  const common_chat_templates* templates = given ? given.get() : impl_->templates.get();
  if (!templates) {
    if (!impl_->defect.empty()) Refuse(impl_->defect);
    throw Error(ErrorCode::kTemplateMissing,
                "The model carries no chat template: pass one as template, or use complete()");
  }

  const LogCapture log;
  TemplateBudget budget;
  try {
    const common_chat_templates_inputs inputs = ReadInput(input);
    const common_chat_params params = common_chat_templates_apply(templates, inputs);
    CheckBudget(budget);

    ChatPrompt prompt;
    prompt.text = params.prompt;
    prompt.grammar = ReadGrammar(params);
    // Most formats of upstream leave a caller's own grammar out.
    if (!input.grammar.empty()) {
      prompt.grammar = GrammarSpec{};
      prompt.grammar.text = input.grammar;
    }
    prompt.stop = params.additional_stops;
    prompt.preserved_tokens = params.preserved_tokens;
    // A grammar of the template covers the whole message, with the part that the prompt already holds.
    if (input.grammar.empty() && !prompt.grammar.lazy) prompt.grammar_prefill = params.generation_prompt;
    const bool tools = !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
    const bool marked = params.supports_thinking || !params.preserved_tokens.empty() || !inputs.json_schema.empty();
    if (tools || marked) {
      common_chat_parser_params parser(params);
      parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
      parser.parse_tool_calls = tools;
      if (!params.parser.empty()) parser.parser.load(params.parser);
      prompt.parser = std::make_unique<UpstreamParser>(std::move(parser));
    }
    return prompt;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& exception) {
    CheckBudget(budget);
    Refuse("The chat template could not be applied: " + ReasonOf(exception));
  }
}

}  // namespace sotto
