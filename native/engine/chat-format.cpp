#include "engine/chat-format.h"

#include <chat.h>
#include <jinja/lexer.h>

#include <algorithm>
#include <chrono>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "engine/json-depth.h"

namespace sotto {
namespace {

constexpr size_t kLongestTemplate = 1 << 20;
constexpr double kMostRange = 10000;  // upstream writes every number of a range() into a list before the loop starts
constexpr int kDeepestLoops = 6;
constexpr int kDeepestJson = 128;

[[noreturn]] void Refuse(const std::string& why) { throw Error(ErrorCode::kTemplateInvalid, why); }

// A template comes from a file and runs as a program; upstream's interpreter has neither a step nor a memory limit. So
// what can grow without end is refused before it runs: numbers that make a range() large, exponents, products, and
// loops in loops in loops. What remains is bounded by the messages the caller passes.
void GuardTemplate(const std::string& source) {
  if (source.size() > kLongestTemplate) {
    Refuse("Expected a chat template of at most 1 MiB, received " + std::to_string(source.size()) + " bytes");
  }
  jinja::lexer lexer;
  jinja::lexer_result lexed;
  try {
    lexed = lexer.tokenize(source);
  } catch (const std::exception& exception) {
    Refuse(std::string("The chat template does not parse: ") + exception.what());
  }
  using Type = jinja::token;
  const auto& tokens = lexed.tokens;
  int loops = 0, parentheses = 0, range_loops = 0;
  std::vector<bool> loop_has_range;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto& token = tokens[i];
    switch (token.t) {
      case Type::open_paren:
      case Type::open_square_bracket:
      case Type::open_curly_bracket:
        if (++parentheses > kDeepestJson) Refuse("Expected a chat template with shallower brackets");
        break;
      case Type::close_paren:
      case Type::close_square_bracket:
      case Type::close_curly_bracket: parentheses = std::max(parentheses - 1, 0); break;
      case Type::multiplicative_binary_operator:
        if (token.value == "**") Refuse("Expected a chat template without the ** operator");
        if (token.value == "*" && i + 1 < tokens.size() && tokens[i + 1].t == Type::multiplicative_binary_operator) {
          Refuse("Expected a chat template without the ** operator");
        }
        break;
      case Type::numeric_literal: {
        double value = 0;
        try {
          value = std::stod(token.value);
        } catch (const std::exception&) {
          Refuse("Expected numbers of ordinary size in the chat template");
        }
        // A large number is harmless by itself, in a template it only ever feeds a range, a repeat or an indent.
        if (value > kMostRange) {
          Refuse("Expected numbers of at most 10000 in the chat template, received " + token.value.substr(0, 20));
        }
        break;
      }
      case Type::identifier:
        if (i == 0 || tokens[i - 1].t != Type::open_statement) break;
        if (token.value == "for") {
          bool range = false;
          for (size_t j = i; j < tokens.size() && tokens[j].t != Type::close_statement; ++j) {
            range |= tokens[j].t == Type::identifier && tokens[j].value == "range";
          }
          loop_has_range.push_back(range);
          range_loops += range;
          if (++loops > kDeepestLoops || range_loops > 2)
            Refuse("Expected a chat template with fewer loops inside loops");
        } else if (token.value == "endfor" && loops > 0) {
          --loops;
          range_loops -= loop_has_range.back();
          loop_has_range.pop_back();
        }
        break;
      default: break;
    }
  }
}

common_json ParseJson(const std::string& text, const char* what) {
  if (JsonDepth(text) > kDeepestJson) {
    Refuse(std::string("Expected ") + what + " nested at most " + std::to_string(kDeepestJson) + " deep");
  }
  try {
    return common_json::parse(text);
  } catch (const std::exception& exception) {
    Refuse(std::string("Expected ") + what + " to be JSON: " + exception.what());
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
    common_chat_msg message;
    try {
      message = common_chat_parse(text_, !last, params_);
    } catch (const std::exception&) {
      if (!last) return;  // often the rest of the text makes it parse
      message.role = "assistant";
      message.content = text_;
      if (!seen_.reasoning_content.empty() || !seen_.tool_calls.empty()) message = seen_;
    }
    for (size_t i = 0; i < message.tool_calls.size(); ++i) {
      if (message.tool_calls[i].id.empty())
        message.tool_calls[i].id = "call_" + std::to_string(id) + "_" + std::to_string(i);
    }
    Emit(id, message, out);
    seen_ = std::move(message);
    pending_ = false;
    const auto done = Clock::now();
    next_ = done + (done - now) * 9;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void Emit(RequestId id, const common_chat_msg& message, std::vector<Event>& out) const {
    std::vector<common_chat_msg_diff> diffs;
    try {
      diffs = common_chat_msg_diff::compute_diffs(seen_, message);
    } catch (const std::exception&) {
      return;  // a later parse contradicts what was shown; the reader keeps what it has
    }
    for (common_chat_msg_diff& diff : diffs) {
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
        spec.trigger_patterns.push_back("^(?:" + trigger.value + ")$");
        break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN: spec.trigger_tokens.push_back(trigger.token); break;
      default: break;
    }
  }
  return spec;
}

}  // namespace

struct ChatFormat::Impl {
  const llama_model* model = nullptr;
  std::string source;
  std::string defect;  // why the model's own template cannot be used
  common_chat_templates_ptr templates;
  bool tools = false, thinking = false;

  static common_chat_templates_ptr Compile(const llama_model* model, const std::string& source) {
    GuardTemplate(source);
    const LogCapture log;
    try {
      return common_chat_templates_init(model, source);
    } catch (const std::exception& exception) {
      Refuse(std::string("The chat template does not parse: ") + exception.what());
    }
  }
};

ChatFormat::ChatFormat(const llama_model* model) : impl_(std::make_unique<Impl>()) {
  impl_->model = model;
  const char* own = llama_model_chat_template(model, nullptr);
  if (!own) return;
  impl_->source = own;
  try {
    if (const char* tool_use = llama_model_chat_template(model, "tool_use")) GuardTemplate(tool_use);
    GuardTemplate(impl_->source);
    impl_->templates = Impl::Compile(model, impl_->source);
    impl_->thinking = common_chat_templates_support_enable_thinking(impl_->templates.get());
    const auto capabilities = common_chat_templates_get_caps(impl_->templates.get());
    const auto tools = capabilities.find("supports_tools");
    impl_->tools = tools != capabilities.end() && tools->second;
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
  if (!input.template_override.empty()) given = Impl::Compile(impl_->model, input.template_override);
  const common_chat_templates* templates = given ? given.get() : impl_->templates.get();
  if (!templates) {
    if (!impl_->defect.empty()) Refuse(impl_->defect);
    throw Error(ErrorCode::kTemplateMissing,
                "The model carries no chat template: pass one as template, or use complete()");
  }

  common_chat_templates_inputs inputs;
  const LogCapture log;
  try {
    const common_json messages = ParseJson(input.messages_json, "messages");
    if (!messages.is_array() || messages.empty()) Refuse("Expected messages to be an array with at least one message");
    inputs.messages = common_chat_msgs_parse_oaicompat(messages);
    if (!input.tools_json.empty()) {
      const common_json tools = ParseJson(input.tools_json, "tools");
      if (!tools.is_array()) Refuse("Expected tools to be an array of {type: 'function', function: {name, …}}");
      inputs.tools = common_chat_tools_parse_oaicompat(tools);
    }
    if (!input.tool_choice.empty()) inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(input.tool_choice);
    if (!input.template_kwargs_json.empty()) {
      const common_json arguments = ParseJson(input.template_kwargs_json, "templateArguments");
      if (!arguments.is_object()) Refuse("Expected templateArguments to be an object");
      for (const auto& item : arguments.items()) inputs.chat_template_kwargs[item.key()] = item.value().dump();
    }
    inputs.parallel_tool_calls = input.parallel_tool_calls;
    inputs.add_generation_prompt = input.add_generation_prompt;
    inputs.enable_thinking = input.enable_thinking;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    inputs.grammar = input.grammar;
    inputs.json_schema = input.json_schema;
    const common_chat_params params = common_chat_templates_apply(templates, inputs);

    ChatPrompt prompt;
    prompt.text = params.prompt;
    prompt.grammar = ReadGrammar(params);
    prompt.stop = params.additional_stops;
    prompt.preserved_tokens = params.preserved_tokens;
    // A grammar of the template covers the whole message, with the part that the prompt already holds.
    if (input.grammar.empty() && !prompt.grammar.lazy) prompt.grammar_prefill = params.generation_prompt;
    const bool tools = !inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
    if (tools || params.supports_thinking) {
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
    Refuse(std::string("The chat template could not be applied: ") + exception.what());
  }
}

}  // namespace sotto
