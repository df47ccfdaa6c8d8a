// gbnf.h: reads GBNF the way upstream's src/llama-grammar.cpp does, only to say what is wrong with it before upstream sees it:
// upstream prints the whole text to stderr, recurses once for every parenthesis and every rule that begins with a rule, copies
// what is repeated, and never returns from some left recursions, from {5,2}, and from rules that begin with each other in
// exponentially many ways. Any thread; no state.
#pragma once

#include <llama.h>

#include <string_view>

namespace sotto {

// Throws Error(kGrammarInvalid) with line and column. `vocab` may be null: then <tokens> are taken as they are.
void CheckGbnf(std::string_view text, const llama_vocab* vocab);

}  // namespace sotto
