#include "engine/grammar.h"

#include <exception>
#include <string_view>

#include <json-schema-to-grammar.h>

#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"
#include "engine/gbnf.h"
#include "engine/schema-limits.h"

namespace sotto {
namespace {

constexpr size_t kLongestReason = 300;

[[noreturn]] void Refuse(const std::string& why) { throw Error(ErrorCode::kGrammarInvalid, why); }

// Upstream aborts the process over a grammar for llguidance when that is not compiled in.
void CheckDialect(const std::string& text) {
  for (size_t at = text.find("%llguidance"); at != std::string::npos; at = text.find("%llguidance", at + 1)) {
    const size_t line = text.find_last_not_of(" \t", at == 0 ? std::string::npos : at - 1);
    if (at == 0 || line == std::string::npos || text[line] == '\n' || text[line] == '\r') {
      Refuse(
          "Expected GBNF, received a grammar for llguidance, which is not included: see grammars/README.md of "
          "llama.cpp for GBNF");
    }
  }
}

std::string Shortened(std::string text) {
  if (text.size() <= kLongestReason) return text;
  std::string held;
  return TakeWholeCharacters(held, std::string_view(text).substr(0, kLongestReason)) + "…";
}

}  // namespace

Grammar CompileGrammar(const llama_vocab* vocab, const GrammarSpec& spec) {
  if (spec.text.empty()) return nullptr;
  if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) Refuse("A grammar needs a model with a vocabulary");
  CheckDialect(spec.text);
  CheckGbnf(spec.text, vocab);
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
  const std::string schema = CheckedSchema(json_schema);
  const LogCapture log;
  std::string reason;
  try {
    std::string grammar = json_schema_to_grammar(common_json::parse(schema));
    CheckGbnf(grammar, nullptr);
    return grammar;
  } catch (const std::exception& exception) {
    reason = exception.what();
  }
  throw Error(ErrorCode::kSchemaInvalid, "The JSON schema cannot become a grammar: " + Shortened(reason));
}

}  // namespace sotto
