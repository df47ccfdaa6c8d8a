// chat-format-test.cpp: templates are programs from a file, messages and tools are JSON from anybody.
#include "engine/chat-format.h"

#include "engine/request.h"
#include "test-model.h"

namespace sotto {
namespace {

constexpr const char* kChatml =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

// In the manner of Hermes and Qwen: reasoning and tool calls between tags.
constexpr const char* kTools = R"({%- if tools %}{{- '<|im_start|>system\nYou may call functions:\n<tools>' }}
{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\n</tools>\nAnswer with <tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
{%- elif message.role == 'assistant' and message.tool_calls %}{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\n' + message.content }}{%- endif %}
{%- for tool_call in message.tool_calls %}{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '\n<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}
{{- '<|im_end|>\n' }}
{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %})";

constexpr const char* kWeatherTool =
    R"([{"type":"function","function":{"name":"weather","description":"of a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}])";

class ChatFormatTest : public ModelTest {
 protected:
  static ChatInput Input(const std::string& source) {
    ChatInput input;
    input.messages_json = R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}])";
    input.template_override = source;
    return input;
  }
  ChatPrompt Apply(const ChatInput& input) const { return model_->chat_format().Apply(input); }
  std::string ReasonFor(const ChatInput& input) const {
    std::string message;
    EXPECT_EQ(CodeOf([&] { Apply(input); }, &message), ErrorCode::kTemplateInvalid)
        << input.template_override.substr(0, 100);
    return message;
  }
  std::string ReasonFor(const std::string& source) const { return ReasonFor(Input(source)); }
};

// What a parser shows of a text that arrives in pieces.
struct Shown {
  std::string content, reasoning, arguments, name, id;
  int calls = 0;
};
Shown Show(ChatParser& parser, const std::string& text, size_t piece) {
  Shown shown;
  std::vector<Event> events;
  for (size_t at = 0; at < text.size(); at += piece) {
    parser.Push(3, text.substr(at, piece), at + piece >= text.size(), events);
  }
  for (const Event& event : events) {
    EXPECT_EQ(event.id, 3u);
    if (event.kind == Event::Kind::kText) shown.content += event.text;
    if (event.kind == Event::Kind::kReasoning) shown.reasoning += event.text;
    if (event.kind != Event::Kind::kToolCall) continue;
    shown.calls = std::max(shown.calls, event.tool_index + 1);
    shown.arguments += event.text;
    if (!event.tool_name.empty()) shown.name = event.tool_name;
    if (!event.tool_id.empty()) shown.id = event.tool_id;
  }
  return shown;
}

TEST_F(ChatFormatTest, RendersMessagesAndPlainAnswersNeedNoParser) {
  const ChatPrompt prompt = Apply(Input(kChatml));
  EXPECT_EQ(prompt.text,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(prompt.parser, nullptr);
  EXPECT_TRUE(prompt.grammar.text.empty());
  EXPECT_EQ(Apply(Input("chatml")).text, prompt.text);
  ChatInput input = Input(kChatml);
  input.add_generation_prompt = false;
  EXPECT_EQ(Apply(input).text.find("assistant"), std::string::npos);
}

TEST_F(ChatFormatTest, LimitsLeaveOrdinaryTemplatesAsTheyAre) {
  const auto render = [this](const std::string& source) { return Apply(Input(source)).text; };
  EXPECT_EQ(render("{% for i in range(3) %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}"), "0, 1, 2");
  EXPECT_EQ(render("{% macro twice(x) %}{{ x ~ x }}{% endmacro %}{{ twice('ab')|upper }}"), "ABAB");
  EXPECT_EQ(render("{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(9) }}"),
            "9876543210");
  EXPECT_EQ(
      render("{% set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
      "6");
  EXPECT_EQ(render("{% set x %}a{{ 'b' * 3 }}{% endset %}{{ x|replace('b', '-')|length }}{{ x[0] }}"), "4a");
  EXPECT_EQ(render("{% filter upper %}{{ messages[-1]['content'] }}{% endfilter %}"),
            "BE BRIEF.\nHELLO");  // upstream merges what a template has no role for
  EXPECT_EQ(render("{{ ['a', 'b']|join(', ') }}{{ {'k': [1, 2]}|tojson }}"), "a, b{\"k\": [1, 2]}");
}

TEST_F(ChatFormatTest, TemplatesThatWouldRunAwayAreStopped) {
  EXPECT_NE(ReasonFor("{% for i in range(1000000000) %}{% endfor %}").find("range()"), std::string::npos);
  ReasonFor("{% set r = range %}{{ r(10000 * 10000 * 10000)|length }}");
  ReasonFor("{{ 'x' * 9999999999 }}");
  ReasonFor(
      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor "
      "%}");
  std::string doubling = "{% set s = 'xxxxxxxx' %}", output = doubling, lists = "{% set l = [1] %}";
  for (int i = 0; i < 60; ++i) {
    doubling += "{% set s = s ~ s %}";
    output += "{% set s %}{{ s }}{{ s }}{% endset %}";
    lists += "{% set l = [l, l] %}";
  }
  ReasonFor(doubling);
  ReasonFor(output);
  ReasonFor(lists + "{{ l }}");
  ReasonFor("{% set s = 'a' * 100000 %}{% set s = s|replace('a', s) %}{% set s = s|replace('a', s) %}");
  EXPECT_NE(ReasonFor("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("too deep"), std::string::npos);
  ReasonFor("{% macro m(x=m()) %}{% endmacro %}{{ m() }}");
  ReasonFor("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns|tojson }}");
  ReasonFor("{% set l = [] %}{% set x = l.append(l) %}{{ l }}");
  ReasonFor("{{ [1]|tojson(indent=1000000000) }}");
}

TEST_F(ChatFormatTest, TemplatesThatWouldOverflowTheParserAreRefused) {
  const auto repeated = [](const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
  };
  ReasonFor(repeated("x", (1 << 20) + 1));
  ReasonFor("{{ " + repeated("(", 60000) + " }}");
  ReasonFor("{{ " + repeated("not ", 60000) + "x }}");
  ReasonFor("{{ 1" + repeated(" + 1", 60000) + " }}");
  ReasonFor("{{ x" + repeated("|upper", 60000) + " }}");
  ReasonFor(repeated("{% if x %}", 60000));
  ReasonFor("{% if x %}" + repeated("{% elif x %}", 60000) + "{% endif %}");
  ReasonFor(repeated("{% set x %}", 60000));
  ReasonFor("{{ 2 ** 9 }}");
  for (const char* source :
       {"{{", "{% if %}", "{% for x %}{% endfor %}", "{{ 'x }}", "{% endfor %}", "{% nonsense %}",
        "{{ 99999999999999999999 }}", "{#", "{%", "{{ \"\\q\" }}", "{% for x in y %}", "{{ x.1.y | }}"}) {
    ReasonFor(source);
  }
}

TEST_F(ChatFormatTest, ErrorsOfTheTemplateSayWhatItSaid) {
  EXPECT_NE(ReasonFor("{{ raise_exception('roles must alternate') }}").find("roles must alternate"), std::string::npos);
}

TEST_F(ChatFormatTest, MalformedInputIsRefusedWithASentence) {
  const auto with = [](auto change) {
    ChatInput input = Input(kTools);
    change(input);
    return input;
  };
  std::string deep(100000, '[');
  for (const std::string& messages :
       {std::string(""), std::string("{}"), std::string("[]"), std::string("[1]"), std::string("[{}]"),
        std::string(R"([{"role":"user"}])"), std::string(R"([{"role":7,"content":"x"}])"), deep,
        std::string(R"([{"role":"user","content":[{"type":"image_url"}]}])"), std::string("[{\"role\":")}) {
    ReasonFor(with([&](ChatInput& input) { input.messages_json = messages; }));
  }
  ReasonFor(with([&](ChatInput& input) {
    input.messages_json =
        R"([{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":")" +
        deep + "\"}}]}]";
  }));
  for (const char* tools :
       {"{}", "[1]", "[{}]", R"([{"type":"function"}])", R"([{"type":"function","function":{"name":""}}])",
        R"([{"type":"function","function":{"name":"f","parameters":7}}])",
        R"([{"type":"function","function":{"name":"f","parameters":{"$ref":"http://x/y"}}}])"}) {
    ReasonFor(with([&](ChatInput& input) { input.tools_json = tools; }));
  }
  EXPECT_NE(ReasonFor(with([](ChatInput& input) { input.tool_choice = "maybe"; })).find("toolChoice"),
            std::string::npos);
  ReasonFor(with([](ChatInput& input) { input.tool_choice = "required"; }));
  ReasonFor(with([](ChatInput& input) { input.template_kwargs_json = "[]"; }));
  ChatInput both = Input(kTools);
  both.tools_json = kWeatherTool;
  both.grammar = "root ::= \"x\"";
  EXPECT_EQ(CodeOf([&] { Apply(both); }), ErrorCode::kOptionInvalid);
}

TEST_F(ChatFormatTest, ToolCallsAreParsedHoweverTheTextIsCut) {
  ChatInput input = Input(kTools);
  input.tools_json = kWeatherTool;
  const ChatPrompt prompt = Apply(input);
  EXPECT_NE(prompt.text.find("\"weather\""), std::string::npos);
  ASSERT_NE(prompt.parser, nullptr);
  EXPECT_TRUE(prompt.grammar.lazy);
  EXPECT_NE(CompileGrammar(model_->vocab(), prompt.grammar), nullptr);
  const std::string answer =
      "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\"}}\n</tool_call>";
  for (const size_t piece : {1, 3, 1000}) {
    const Shown shown = Show(*Apply(input).parser, answer, piece);
    EXPECT_EQ(shown.calls, 1);
    EXPECT_EQ(shown.name, "weather");
    EXPECT_FALSE(shown.id.empty());
    EXPECT_EQ(shown.arguments, "{\"city\": \"Köln\"}") << piece;
    EXPECT_EQ(shown.content.find("<tool_call>"), std::string::npos) << shown.content;
    EXPECT_EQ(shown.content.rfind("Let me look.", 0), 0u);
  }
}

TEST_F(ChatFormatTest, TextThatIsInNoFormatGoesOutAsContent) {
  ChatInput input = Input(kTools);
  input.tools_json = kWeatherTool;
  for (const std::string& answer :
       {std::string("Just text."), std::string("<tool_call>\nnot json at all"), std::string("</tool_call> { [ \""),
        std::string("<tool_call>\n{\"name\": \"unknown\"}\n</tool_call>")}) {
    for (const size_t piece : {1, 1000}) {
      const Shown shown = Show(*Apply(input).parser, answer, piece);
      EXPECT_FALSE(shown.content.empty() && shown.calls == 0) << answer;
    }
  }
  std::vector<Event> events;
  Apply(input).parser->Push(1, "", true, events);
  EXPECT_TRUE(events.empty() || events[0].text.empty());
}

TEST_F(ChatFormatTest, ASchemaConstrainsTheAnswer) {
  ChatInput input = Input(kChatml);
  input.json_schema = R"({"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]})";
  const ChatPrompt prompt = Apply(input);
  EXPECT_FALSE(prompt.grammar.text.empty());
  EXPECT_FALSE(prompt.grammar.lazy);
  ASSERT_NE(prompt.parser, nullptr);
  EXPECT_EQ(Show(*Apply(input).parser, "{\"n\": 3}", 2).content, "{\"n\": 3}");
  input.json_schema = R"({"$ref":"http://x"})";
  EXPECT_EQ(CodeOf([&] { Apply(input); }), ErrorCode::kSchemaInvalid);
}

TEST_F(ChatFormatTest, PrepareRequestChecksWhatItIsGiven) {
  const auto prepare = [this](auto change) {
    RequestOptions options;
    change(options.completion.emplace());
    return PrepareRequest(*model_, std::move(options), std::make_shared<RequestControl>(), Clock::now());
  };
  EXPECT_EQ(CodeOf([&] { prepare([](CompletionOptions& o) { o.tokens.emplace(); }); }), ErrorCode::kPromptInvalid);
  EXPECT_EQ(CodeOf([&] { prepare([](CompletionOptions& o) { o.tokens = {{0, -1}}; }); }), ErrorCode::kPromptInvalid);
  EXPECT_EQ(CodeOf([&] { prepare([this](CompletionOptions& o) { o.tokens = {{model_->info().vocabulary}}; }); }),
            ErrorCode::kPromptInvalid);
  EXPECT_EQ(CodeOf([&] {
              prepare([](CompletionOptions& o) {
                o.prompt = "x";
                o.grammar = "root ::= \"x\"";
                o.json_schema = "{}";
              });
            }),
            ErrorCode::kOptionInvalid);
  const auto request = prepare([](CompletionOptions& o) {
    o.chat = Input(kChatml);
    o.stop = {"", "END"};
    o.json_schema = R"({"type":"integer"})";
    o.ignore_eos = true;
  });
  EXPECT_FALSE(request->tokens.empty());
  EXPECT_EQ(request->stop, std::vector<std::string>{"END"});
  EXPECT_FALSE(request->ignore_eos);  // a grammar that is complete ends the text
}

}  // namespace
}  // namespace sotto
