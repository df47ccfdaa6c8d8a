#include "engine/gbnf.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/left-recursion.h"
#include "engine/tokenizer.h"

namespace sotto {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr int kDeepestNesting = 100;
constexpr size_t kLongestName = 4096;
constexpr uint64_t kMostRepetitions = 2000;  // upstream's MAX_REPETITION_THRESHOLD
constexpr uint64_t kMostElements = 2'000'000;
constexpr uint64_t kMostNameBytes = 32 << 20;  // upstream names every rule it generates after the rule it is in
constexpr size_t kMostRules = 50'000;
constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsWord(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || IsDigit(c); }

class Reader {
 public:
  Reader(std::string_view text, const llama_vocab* vocab) : text_(text), vocab_(vocab) {}

  void Read() {
    SkipSpace(true);
    while (!AtEnd()) ReadRule();
    for (const auto& [name, id] : ids_) {
      if (rules_[size_t(id)].empty()) Refuse("the rule " + Quoted(name) + " is used but not defined");
    }
    const auto root = ids_.find("root");
    if (root == ids_.end()) Refuse("a rule named root is expected: root ::= …");
    CheckLeftRecursion(rules_, [this](int rule) { return std::string(names_[size_t(rule)]); });
  }

 private:
  using Rule = GrammarRule;

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  [[noreturn]] void Refuse(const std::string& why) const {
    const std::string_view before = text_.substr(0, std::min(at_, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t start = before.rfind('\n');
    const size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
    throw Error(ErrorCode::kGrammarInvalid, "The grammar does not parse at line " + std::to_string(line) + ", column " +
                                                std::to_string(column) + ": " + why);
  }
  static std::string Quoted(std::string_view name) {
    return "\"" + std::string(name.substr(0, 60)) + (name.size() > 60 ? "…\"" : "\"");
  }

  void SkipSpace(bool newline_too) {
    while (!AtEnd()) {
      const char c = Peek();
      if (c == '#') {
        while (!AtEnd() && Peek() != '\r' && Peek() != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (newline_too && (c == '\r' || c == '\n'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view ReadName() {
    const size_t start = at_;
    while (IsWord(Peek())) ++at_;
    const std::string_view name = text_.substr(start, at_ - start);
    if (name.empty()) Refuse("a rule name is expected (letters, digits and -), received " + Received());
    if (name.size() > kLongestName) Refuse("a rule name of at most 4096 characters is expected");
    return name;
  }
  std::string Received() const { return AtEnd() ? "the end" : Quoted(text_.substr(at_, 1)); }

  uint64_t ReadNumber() {
    uint64_t value = 0;
    while (IsDigit(Peek())) value = std::min<uint64_t>(value * 10 + uint64_t(text_[at_++] - '0'), 1'000'000'000);
    return value;
  }

  // One character of a literal or a class.
  void ReadCharacter() {
    if (AtEnd()) Refuse("the text ends inside a literal or a character class");
    if (Peek() != '\\') {
      const auto lead = static_cast<unsigned char>(Peek());
      at_ += lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      return;
    }
    const char kind = Peek(1);
    const size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (digits == 0 && (kind == '\0' || std::string_view("trn\\\"[]-").find(kind) == std::string_view::npos)) {
      Refuse("\\ followed by one of x u U t r n \\ \" [ ] - is expected");
    }
    at_ += 2;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      if (!IsHex(Peek())) Refuse(std::to_string(digits) + " hexadecimal digits are expected");
    }
  }

  int IdOf(std::string_view name) {
    const auto [found, added] = ids_.try_emplace(std::string(name), int(rules_.size()));
    if (added) AddRule(found->first);
    return found->second;
  }
  // A rule that upstream generates for a group or a repetition inside `rule`.
  int GenerateIn(int rule) {
    name_bytes_ += names_[size_t(rule)].size() + 8;
    if (name_bytes_ > kMostNameBytes) Refuse("shorter rule names are expected where groups repeat");
    AddRule(names_[size_t(rule)]);
    return int(rules_.size()) - 1;
  }
  void AddRule(std::string_view name) {
    if (rules_.size() >= kMostRules) Refuse("at most 50000 rules are expected, groups and repetitions included");
    names_.push_back(name);
    rules_.emplace_back();
  }
  void Spend(uint64_t elements) {
    elements_ += elements;
    if (elements_ > kMostElements) Refuse("the grammar repeats too much: at most 2000000 elements are expected");
  }

  void ReadRule() {
    const int rule = IdOf(ReadName());
    SkipSpace(false);
    if (Peek() != ':' || Peek(1) != ':' || Peek(2) != '=') Refuse("::= is expected, received " + Received());
    at_ += 3;
    SkipSpace(true);
    ReadAlternates(rule, false);
    if (!AtEnd() && Peek() != '\r' && Peek() != '\n')
      Refuse("a new line is expected after a rule, received " + Received());
    SkipSpace(true);
  }

  void ReadAlternates(int rule, bool nested) {
    Rule body;
    ReadSequence(rule, body, nested);
    while (Peek() == '|') {
      body.push_back(kGrammarAlternate);
      ++at_;
      SkipSpace(true);
      ReadSequence(rule, body, nested);
    }
    body.push_back(kGrammarEnd);
    Spend(body.size());
    rules_[size_t(rule)] = std::move(body);
  }

  void ReadSequence(int rule, Rule& body, bool nested) {
    size_t item = body.size();   // where the last item begins
    uint64_t item_elements = 0;  // what upstream makes of it
    uint64_t item_rules = 1;     // as upstream counts them
    const auto begin = [&] {
      item = body.size();
      item_elements = 0;
      item_rules = 1;
    };
    const auto terminal = [&] {
      if (item_elements++ == 0) body.push_back(kGrammarTerminal);  // a run of characters counts as one here
      Spend(1);
    };

    const auto repeat = [&](uint64_t least, uint64_t most) {
      if (item_elements == 0) Refuse("something to repeat is expected before * + ? or {");
      if (least > kMostRepetitions || (most != kNoLimit && most > kMostRepetitions)) {
        Refuse("at most " + std::to_string(kMostRepetitions) + " repetitions are expected");
      }
      if (most < least) Refuse("{least,most} is expected with least no greater than most");
      const uint64_t times = most != kNoLimit && most > 0 ? most : std::max<uint64_t>(least, 1);
      if (item_rules * times > kMostRepetitions) {
        Refuse("at most " + std::to_string(kMostRepetitions) + " rules are expected of repetitions inside repetitions");
      }
      const uint64_t optional = most == kNoLimit ? 1 : most - least;
      Spend(item_elements * (least + optional) + 4 * optional);

      const Rule copy(body.begin() + std::ptrdiff_t(item), body.end());
      if (least == 0) body.resize(item);
      for (uint64_t i = 1; i < least; ++i) body.insert(body.end(), copy.begin(), copy.end());
      int last = -1;
      for (uint64_t i = 0; i < optional; ++i) {
        const int generated = GenerateIn(rule);
        Rule repeated = copy;
        if (i > 0 || most == kNoLimit) repeated.push_back(most == kNoLimit ? generated : last);
        repeated.push_back(kGrammarAlternate);
        repeated.push_back(kGrammarEnd);
        rules_[size_t(generated)] = std::move(repeated);
        last = generated;
      }
      if (optional > 0) body.push_back(last);
      item_elements = item_elements * least + (optional > 0 ? 1 : 0);
      item_rules *= times;
    };

    while (!AtEnd()) {
      const char c = Peek();
      if (c == '"') {
        ++at_;
        begin();
        while (Peek() != '"' || AtEnd()) {
          ReadCharacter();
          terminal();
        }
        ++at_;
      } else if (c == '[') {
        ++at_;
        if (Peek() == '^') ++at_;
        begin();
        while (Peek() != ']' || AtEnd()) {
          ReadCharacter();
          terminal();
          if (Peek() == '-' && Peek(1) != ']') {
            ++at_;
            ReadCharacter();
            terminal();
          }
        }
        ++at_;
      } else if (c == '.') {
        ++at_;
        begin();
        terminal();
      } else if (c == '<' || c == '!') {
        begin();
        ReadToken();
        terminal();
      } else if (IsWord(c)) {
        begin();
        body.push_back(IdOf(ReadName()));
        item_elements = 1;
        Spend(1);
      } else if (c == '(') {
        ++at_;
        if (++depth_ > kDeepestNesting)
          Refuse("parentheses nested at most 100 deep are expected: name the inner parts as rules");
        SkipSpace(true);
        const size_t rules_before = rules_.size();
        const int group = GenerateIn(rule);
        ReadAlternates(group, true);
        if (Peek() != ')') Refuse(") is expected, received " + Received());
        ++at_;
        --depth_;
        begin();
        item_rules = std::max<uint64_t>(1, rules_.size() - rules_before);
        body.push_back(group);
        item_elements = 1;
        Spend(1);
      } else if (c == '*' || c == '+' || c == '?') {
        ++at_;
        SkipSpace(nested);
        repeat(c == '+' ? 1 : 0, c == '?' ? 1 : kNoLimit);
        continue;
      } else if (c == '{') {
        ++at_;
        ReadBraces(nested, repeat);
        continue;
      } else {
        return;
      }
      SkipSpace(nested);
    }
  }

  template <typename Repeat>
  void ReadBraces(bool nested, const Repeat& repeat) {
    SkipSpace(nested);
    if (!IsDigit(Peek())) Refuse("a number is expected after {");
    const uint64_t least = ReadNumber();
    SkipSpace(nested);
    uint64_t most = least;
    if (Peek() == ',') {
      ++at_;
      SkipSpace(nested);
      most = IsDigit(Peek()) ? ReadNumber() : kNoLimit;
      SkipSpace(nested);
    }
    if (Peek() != '}') Refuse("} is expected, received " + Received());
    ++at_;
    SkipSpace(nested);
    repeat(least, most);
  }

  // <[id]>, <text> or one of them after !
  void ReadToken() {
    if (Peek() == '!') ++at_;
    const size_t start = at_;
    if (Peek() != '<') Refuse("< is expected after !");
    if (Peek(1) == '[') {
      at_ += 2;
      if (!IsDigit(Peek())) Refuse("the number of a token is expected after <[");
      const uint64_t token = ReadNumber();
      if (Peek() != ']' || Peek(1) != '>') Refuse("]> is expected, received " + Received());
      at_ += 2;
      if (vocab_ && token >= uint64_t(llama_vocab_n_tokens(vocab_))) Refuse("a token of the vocabulary is expected");
      return;
    }
    const size_t end = text_.find('>', start);
    if (end == std::string_view::npos || end - start > 256) Refuse("> is expected after a token of at most 256 bytes");
    const std::string_view token = text_.substr(start, end + 1 - start);
    if (vocab_ && Tokenize(vocab_, token, false, true).size() != 1) {
      Refuse("one token of the vocabulary is expected, received " + Quoted(token));
    }
    at_ = end + 1;
  }

  std::string_view text_;
  const llama_vocab* vocab_;
  size_t at_ = 0;
  int depth_ = 0;
  uint64_t elements_ = 0;
  uint64_t name_bytes_ = 0;
  std::map<std::string, int> ids_;
  std::vector<Rule> rules_;
  std::vector<std::string_view> names_;  // of each rule, or of the one it is part of; they lie in ids_
};

}  // namespace

void CheckGbnf(std::string_view text, const llama_vocab* vocab) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorCode::kGrammarInvalid, why); };
  if (text.size() > kMostBytes)
    refuse("Expected a grammar of at most 1 MiB, received " + std::to_string(text.size()) + " bytes");
  if (text.find('\0') != std::string_view::npos) refuse("Expected a grammar without NUL characters");
  Reader(text, vocab).Read();
}

}  // namespace sotto
