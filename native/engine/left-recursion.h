// left-recursion.h: what a grammar's rules can begin with. Upstream expands the beginning of a rule before it reads a character:
// a rule that begins with itself never ends, and one that begins in very many ways takes very long.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace sotto {

// Alternatives separated by kGrammarAlternate, closed by kGrammarEnd; a value of 0 or more is a rule.
using GrammarRule = std::vector<int>;
inline constexpr int kGrammarTerminal = -1;  // one or more characters or tokens
inline constexpr int kGrammarAlternate = -2;
inline constexpr int kGrammarEnd = -3;

// Throws Error(kGrammarInvalid). `name` is asked for at most once.
void CheckLeftRecursion(const std::vector<GrammarRule>& rules, const std::function<std::string(int)>& name);

}  // namespace sotto
