// grammar.h: GBNF text and JSON schemas into upstream's grammar sampler, behind checks that keep hostile input from
// reaching the two places where upstream aborts (%llguidance) or overflows its stack (deep nesting).
#pragma once

#include <llama-cpp.h>

#include <string>
#include <vector>

namespace sotto {

// A grammar that is active from the start, or (lazy) once a trigger appears in the output.
struct GrammarSpec {
  std::string text;  // GBNF; empty: no grammar
  bool lazy = false;
  std::vector<std::string> trigger_patterns;
  std::vector<llama_token> trigger_tokens;
};

using Grammar = llama_sampler_ptr;  // null: unconstrained

// Throws Error(kGrammarInvalid). Returns null for an empty spec.
Grammar CompileGrammar(const llama_vocab* vocab, const GrammarSpec& spec);

// JSON schema (text) to GBNF. Throws Error(kSchemaInvalid).
std::string SchemaToGrammar(const std::string& json_schema);

}  // namespace sotto
