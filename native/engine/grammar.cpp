#include "engine/grammar.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include <json-schema-to-grammar.h>

#include "base/error.h"
#include "base/log.h"
#include "engine/json-depth.h"

namespace sotto {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr int kDeepestNesting = 128;  // upstream's parser recurses once a parenthesis; its stack is not ours to risk
constexpr int kDeepestSchema = 64;
constexpr size_t kMostRules = 20000;

[[noreturn]] void Refuse(const std::string& why) { throw Error(ErrorCode::kGrammarInvalid, why); }

// One pass over the text that knows strings, character classes and comments, so that a parenthesis in a literal is no
// nesting.
void CheckShape(const std::string& text) {
  if (text.size() > kMostBytes) {
    Refuse("Expected a grammar of at most 1 MiB, received " + std::to_string(text.size()) + " bytes");
  }
  if (text.find('\0') != std::string::npos) Refuse("Expected a grammar without NUL characters");
  int depth = 0;
  size_t rules = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
      case '[': {
        const char close = text[i] == '"' ? '"' : ']';
        for (++i; i < text.size() && text[i] != close; ++i) {
          if (text[i] == '\\') ++i;
        }
        break;
      }
      case '#':
        while (i < text.size() && text[i] != '\n') ++i;
        break;
      case '(':
        if (++depth > kDeepestNesting) {
          Refuse("Expected parentheses nested at most " + std::to_string(kDeepestNesting) +
                 " deep: name the inner parts as rules");
        }
        break;
      case ')': --depth; break;
      case '=':
        if (i >= 2 && text[i - 1] == ':' && text[i - 2] == ':') ++rules;
        break;
      default: break;
    }
  }
  if (rules > kMostRules)
    Refuse("Expected at most " + std::to_string(kMostRules) + " rules, received " + std::to_string(rules));
}

std::string Shortened(std::string text) {
  if (text.size() <= 300) return text;
  text.resize(300);
  while (!text.empty() && (text.back() & 0xC0) == 0x80) text.pop_back();
  return text + "…";
}

}  // namespace

Grammar CompileGrammar(const llama_vocab* vocab, const GrammarSpec& spec) {
  if (spec.text.empty()) return nullptr;
  // Upstream aborts the process when a grammar says it is for llguidance and that is not compiled in.
  if (spec.text.compare(0, std::strlen("%llguidance"), "%llguidance") == 0) {
    Refuse("Expected GBNF, received an llguidance grammar: sotto does not include llguidance");
  }
  CheckShape(spec.text);
  const LogCapture log;
  std::string reason;
  try {
    Grammar grammar;
    if (spec.lazy) {
      std::vector<const char*> patterns;
      for (const std::string& pattern : spec.trigger_patterns) patterns.push_back(pattern.c_str());
      grammar.reset(llama_sampler_init_grammar_lazy_patterns(vocab, spec.text.c_str(), "root", patterns.data(),
                                                             patterns.size(), spec.trigger_tokens.data(),
                                                             spec.trigger_tokens.size()));
    } else {
      grammar.reset(llama_sampler_init_grammar(vocab, spec.text.c_str(), "root"));
    }
    if (grammar) return grammar;
    reason = log.text();
  } catch (const std::exception& exception) {
    reason = exception.what();
  }
  Refuse("The grammar does not parse" + (reason.empty() ? std::string() : ": " + Shortened(reason)));
}

std::string SchemaToGrammar(const std::string& json_schema) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorCode::kSchemaInvalid, why); };
  if (json_schema.size() > kMostBytes) refuse("Expected a JSON schema of at most 1 MiB");
  if (JsonDepth(json_schema) > kDeepestSchema) {
    refuse("Expected a JSON schema nested at most " + std::to_string(kDeepestSchema) + " deep: use $defs and $ref");
  }
  const LogCapture log;
  try {
    const std::string grammar = json_schema_to_grammar(common_json::parse(json_schema));
    if (grammar.size() > kMostBytes) refuse("The JSON schema needs a grammar of more than 1 MiB: simplify it");
    return grammar;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& exception) {
    refuse("The JSON schema cannot become a grammar: " + Shortened(exception.what()));
  }
  return {};
}

}  // namespace sotto
