// grammar-test.cpp: what upstream's grammar parser and schema converter must never see, and what they must still get.
#include "engine/grammar.h"

#include "engine/gbnf.h"
#include "test-model.h"

namespace sotto {
namespace {

std::string Repeated(const std::string& text, int times) {
  std::string result;
  result.reserve(text.size() * size_t(times));
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

class GrammarTest : public ModelTest {
 protected:
  std::string ReasonAgainst(const std::string& text) const {
    std::string message;
    EXPECT_EQ(CodeOf(
                  [&] {
                    CompileGrammar(model_->vocab(), {text, false, {}, {}});
                  },
                  &message),
              ErrorCode::kGrammarInvalid)
        << text.substr(0, 80);
    return message;
  }
  void ExpectCompiles(const std::string& text) const {
    EXPECT_NE(CompileGrammar(model_->vocab(), {text, false, {}, {}}), nullptr) << text.substr(0, 80);
  }
};

TEST_F(GrammarTest, OrdinaryGrammarsCompile) {
  ExpectCompiles("root ::= \"a\" | [b-d]+ (\"x\" root)? # comment\n");
  ExpectCompiles(
      "# first\nroot  ::= (\n  item |\n  \"(\" # inside\n )* \r\nitem ::= [^\\]\\x41-\\u00e9]{2,5} . \"\\n\\\"\"\n");
  ExpectCompiles("root ::= <|im_end|> !<[3]> \"é日🙂\"");
  ExpectCompiles("root ::= a b\na ::= \"x\"?\nb ::= a a a");
  ExpectCompiles("root ::= ((\"a\"*)*)*");
  ExpectCompiles("root ::= \"\" | [] \"x\"{0} \"y\"{3,}");
  ExpectCompiles("root ::= " + Repeated("(", 100) + "\"x\"" + Repeated(")", 100));
}

TEST_F(GrammarTest, AGrammarForLlguidanceIsRefusedWhereverItBegins) {
  EXPECT_NE(ReasonAgainst("%llguidance {}\nstart: /x/").find("llguidance"), std::string::npos);
  ReasonAgainst("\n  %llguidance {}");
  ReasonAgainst("root ::= \"x\"\n%llguidance {}");
  ExpectCompiles("root ::= \"%llguidance\"");
}

TEST_F(GrammarTest, MistakesAreNamedWithLineAndColumn) {
  EXPECT_NE(ReasonAgainst("root ::= \"a\"\nroot2 = \"b\"").find("line 2, column 7"), std::string::npos);
  EXPECT_NE(ReasonAgainst("root ::= missing").find("\"missing\""), std::string::npos);
  EXPECT_NE(ReasonAgainst("start ::= \"x\"").find("root"), std::string::npos);
  for (const char* text : {"root ::= \"",
                           "root ::= [a",
                           "root ::= (\"a\"",
                           "root ::= \"\\q\"",
                           "root ::= \"\\x4\"",
                           "root ::= *",
                           "root ::= \"\"*",
                           "root ::= \"a\"{",
                           "root ::= \"a\"{x}",
                           "root ::= \"a\"{1,2",
                           "root ::= <[",
                           "root ::= <[999999999]>",
                           "root ::= <no such token>",
                           "root ::= !x",
                           "root",
                           "::=",
                           "root ::= \"a\" )",
                           "root ::= \"\\",
                           "root ::= [a-",
                           "_ ::= \"x\""}) {
    ReasonAgainst(text);
  }
  ReasonAgainst(std::string("root ::= \"a\0b\"", 14));
}

// Each of these would overflow upstream's stack, exhaust memory, or never return.
TEST_F(GrammarTest, WhatWouldHangOrCrashUpstreamIsRefusedAtOnce) {
  ReasonAgainst("root ::= " + Repeated("(", 60000));
  ReasonAgainst("root ::= " + Repeated("(", 60000) + "\"x\"" + Repeated(")", 60000));
  ReasonAgainst(Repeated("#", (1 << 20) + 1));
  ReasonAgainst("root ::= \"a\"{5,2}");
  ReasonAgainst("root ::= \"a\"{4294967296}");
  ReasonAgainst("root ::= \"a\"{99999999999999999999999}");
  ReasonAgainst("root ::= (\"a\"{1000}){1000} ((\"a\"{0,50}){0,50}){0,50}");
  ReasonAgainst("root ::= \"" + Repeated("a", 500000) + "\"{2000}");
  ReasonAgainst("root ::= " + Repeated("\"a\"{2000} ", 90000));
  ReasonAgainst("root ::= root \"a\" | \"b\"");
  ReasonAgainst("root ::= a\na ::= b\nb ::= a \"x\" | \"y\"");
  ReasonAgainst("root ::= a root \"x\" | \"z\"\na ::= b\nb ::= \"\" | \"y\"");  // upstream does not notice this one
  std::string chain = "root ::= r0\n", doubling = "root ::= r0\n", tails = "root ::= r0\n";
  for (int i = 0; i < 20000; ++i) chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "r" + std::to_string(i + 1);
    doubling += "r" + std::to_string(i) + " ::= " + next + " | " + next + "\n";
    tails += "r" + std::to_string(i) + " ::= " + next + " \"a\" | " + next + " \"b\"\n";
  }
  ReasonAgainst(chain + "r20000 ::= \"x\"");
  ReasonAgainst(doubling + "r60 ::= \"x\"");
  ReasonAgainst(tails + "r60 ::= \"x\"");
  std::string wide = "root ::= \"a\"";
  for (int i = 0; i < 20000; ++i) wide += " | \"" + std::to_string(i) + "\"";
  ReasonAgainst(wide);
}

TEST(SchemaTest, OrdinarySchemasBecomeGrammars) {
  for (
      const char* schema :
      {R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150}},"required":["name"]})",
       R"({"type":"array","items":{"enum":["a","b",3,null]},"minItems":1,"maxItems":4})",
       R"({"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"},"v":{"type":"number"}}}},"$ref":"#/$defs/node"})",
       R"({"anyOf":[{"type":"string","format":"date"},{"type":["integer","null"]},{"const":"x"}]})",
       R"({"type":"string","pattern":"^[a-z]{2,5}(-[0-9]+)?$"})", R"({"type":"string","pattern":"no anchors"})",
       R"({"pattern":"x"})", "{}",
       R"({"type":"object","additionalProperties":{"type":"boolean"},"properties":{"a":{}}})"}) {
    std::string message;
    EXPECT_EQ(CodeOf([&] { CheckGbnf(SchemaToGrammar(schema), nullptr); }, &message), ErrorCode::kAborted)
        << schema << message;
  }
}

std::string SchemaReason(const std::string& schema) {
  std::string message;
  EXPECT_EQ(CodeOf([&] { SchemaToGrammar(schema); }, &message), ErrorCode::kSchemaInvalid) << schema.substr(0, 120);
  return message;
}

TEST(SchemaTest, SchemasThatUpstreamCannotKeepOrSurviveAreRefusedAtOnce) {
  SchemaReason("");
  SchemaReason("[]");
  SchemaReason("null");
  SchemaReason("{");
  SchemaReason(R"({"type":"nonsense"})");
  SchemaReason(R"({"type":7})");
  SchemaReason(Repeated("[", 100000));
  SchemaReason(Repeated(R"({"items":)", 100) + "{}" + Repeated("}", 100));
  EXPECT_NE(SchemaReason(R"({"type":"array","items":{},"maxItems":2147483648})").find("2000"), std::string::npos);
  EXPECT_NE(SchemaReason(R"({"type":"string","maxLength":5000})").find("2000"), std::string::npos);
  SchemaReason(R"({"type":"string","minLength":-1})");
  SchemaReason(R"({"type":"array","minItems":5,"maxItems":2})");
  SchemaReason(R"({"type":"integer","minimum":-9223372036854775808})");
  EXPECT_NE(SchemaReason(R"({"$ref":"https://example.com/schema.json"})").find("nothing is fetched"),
            std::string::npos);
  SchemaReason(R"({"$ref":"#/$defs/none"})");
  SchemaReason(R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"allOf":[{"$ref":"#/$defs/a"}]})");
  std::string alternatives = "{\"type\":\"string\"}";
  for (int i = 0; i < 10000; ++i) alternatives += ",{\"const\":" + std::to_string(i) + "}";
  SchemaReason("{\"anyOf\":[" + alternatives + "]}");
  std::string types = "{}";
  for (int i = 0; i < 20; ++i) types = R"({"type":["object","array","string"],"properties":{"a":)" + types + "}}";
  SchemaReason(types);
  SchemaReason("{\"properties\":{\"" + Repeated("_", 100000) + "\":{}}}");
  SchemaReason("{\"$ref\":\"#/" + Repeated("_", 100000) + "\"}");
  std::string optional = "\"p\":{}", keys = "\"k\":1", definitions = "\"d\":{}";
  for (int i = 0; i < 2000; ++i) optional += ",\"p" + std::to_string(i) + "\":{}";
  for (int i = 0; i < 80000; ++i) keys += ",\"" + std::to_string(i) + "\":1";
  for (int i = 0; i < 4000; ++i)
    definitions += ",\"d" + std::to_string(i) + R"(":{"$ref":"#/$defs/d)" + std::to_string(i + 1) + "\"}";
  SchemaReason("{\"properties\":{" + optional + "}}");
  SchemaReason("{" + keys + "}");
  SchemaReason("{\"$defs\":{" + definitions + "},\"$ref\":\"#/$defs/d0\"}");
  SchemaReason(R"({"type":"string","pattern":"^)" + Repeated("(a*)*", 200) + "$\"}");
  SchemaReason(R"({"type":"string","pattern":"^a{0,2000}{0,2000}$"})");
}

// Long ambiguous patterns must end, one way or the other.
TEST(SchemaTest, CatastrophicPatternsEndInAGrammarOrAnError) {
  for (const char* pattern : {"^(a*)*$", "^(a|a)*$", "^(a|aa)+$", "^((a+)+)+b$", "^(([a-z])+.)+[A-Z]([a-z])+$",
                              "^(.*){1,100}$", "^[$", "^($", "^)$", "^{1}$"}) {
    try {
      CheckGbnf(SchemaToGrammar(std::string(R"({"type":"string","pattern":")") + pattern + "\"}"), nullptr);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kSchemaInvalid) << pattern;
    }
  }
}

}  // namespace
}  // namespace sotto
