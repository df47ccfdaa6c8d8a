#include "engine/template-limits.h"

#include <jinja/lexer.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sotto {
namespace {

constexpr size_t kLongestTemplate = 1 << 20;
constexpr int kDeepestBrackets = 100;
constexpr int kDeepestBlocks = 64;
constexpr int kLongestExpression = 1000;  // tokens
constexpr int kMostBranches = 500;        // elif: each is an if inside the one before

constexpr auto kLongestRun = std::chrono::seconds(5);
constexpr uint64_t kMostSteps = 5'000'000;
constexpr uint64_t kMostOutput = uint64_t(1) << 30;  // all intermediate text together
constexpr size_t kLongestText = size_t(64) << 20;
constexpr size_t kMostPieces = 500'000;              // of one text: upstream keeps apart what came from where
constexpr double kLargestProduct = double(1 << 28);  // what a filter may make of its input and its arguments
constexpr int64_t kLongestRange = 10'000;
constexpr size_t kMostValues = 200'000;  // in one list or object, counted as often as they would be printed
constexpr int kDeepestValue = 200;
constexpr ptrdiff_t kDeepestStack = 512 * 1024;

thread_local TemplateBudget* current_budget = nullptr;

using jinja::cast_stmt;
using jinja::context;
using jinja::is_val;
using jinja::statement;
using jinja::statement_ptr;
using jinja::statements;
using jinja::value;

TemplateBudget& Budget() {
  if (!current_budget) throw std::runtime_error("a chat template runs without its limits");
  return *current_budget;
}

// Values as they would be printed: a list that holds another one twice counts it twice. One that holds itself is endless.
size_t CountValues(const value& v, int depth, size_t so_far) {
  if (depth > kDeepestValue) Budget().Stop("nests its values too deep");
  if (++so_far > kMostValues) Budget().Stop("makes lists that are too large");
  for (const value& item : v->val_arr) so_far = CountValues(item, depth + 1, so_far);
  for (const auto& [key, item] : v->val_obj) so_far = CountValues(item, depth + 1, so_far);
  return so_far;
}

value Checked(value v) {
  if (is_val<jinja::value_string>(v)) {
    if (v->val_str.parts.size() > kMostPieces || v->val_str.length() > kLongestText) {
      Budget().Stop("makes a text that is too long");
    }
  } else if (!v->val_arr.empty() || !v->val_obj.empty()) {
    CountValues(v, 0, 0);
  }
  return v;
}

// How much an argument can multiply the size of a result by.
double FactorOf(const value& v) {
  if (is_val<jinja::value_string>(v)) return 1 + double(v->val_str.length());
  if (is_val<jinja::value_int>(v)) return 1 + std::abs(double(v->val_int));
  if (is_val<jinja::value_kwarg>(v)) return FactorOf(jinja::cast_val<jinja::value_kwarg>(v)->val);
  double factor = 1;
  for (const value& item : v->val_arr) {
    factor += 1;
    if (is_val<jinja::value_string>(item)) factor += double(item->val_str.length());
  }
  return factor + double(v->val_obj.size());
}

void CheckProduct(const value& input, const std::vector<value>& arguments) {
  double product = is_val<jinja::value_int>(input) ? 1 : FactorOf(input);
  for (const value& argument : arguments) product *= FactorOf(argument);
  if (product > kLargestProduct) Budget().Stop("multiplies its values beyond reason");
}

// An operand that has been computed already, for the upstream node that does the rest.
struct Fixed : jinja::expression {
  value known;
  explicit Fixed(value v) : known(std::move(v)) { pos = 0; }
  value execute_impl(context&) const override { return known; }
};

// A statement of a block.
struct Counted : statement {
  statement_ptr inner;
  explicit Counted(statement_ptr&& statement) : inner(std::move(statement)) {}
  std::string type() const override { return inner->type(); }
  void visit(context& ctx) const override { inner->visit(ctx); }
  value execute_impl(context& ctx) const override {
    Budget().Step();
    value result = inner->execute(ctx);
    if (!result || !is_val<jinja::value_string>(result)) return result;
    Budget().Produce(result->val_str.length());
    return Checked(std::move(result));
  }
};

struct LimitedBinary : jinja::binary_expression {
  using binary_expression::binary_expression;
  value execute_impl(context& ctx) const override {
    Budget().Step();
    if (op.value == "and" || op.value == "or") return binary_expression::execute_impl(ctx);
    value a = left->execute(ctx), b = right->execute(ctx);
    const bool text = is_val<jinja::value_string>(a) || is_val<jinja::value_string>(b);
    if (op.value == "*" && text)
      CheckProduct(is_val<jinja::value_string>(a) ? a : b, {is_val<jinja::value_string>(a) ? b : a});
    binary_expression rest(op, std::make_unique<Fixed>(a), std::make_unique<Fixed>(b));
    rest.pos = pos;
    return Checked(rest.execute_impl(ctx));
  }
};

std::vector<value> Arguments(const statements& nodes, context& ctx) {
  std::vector<value> values;
  values.reserve(nodes.size());
  for (const statement_ptr& node : nodes) values.push_back(node->execute(ctx));
  return values;
}

void CheckRange(const std::vector<value>& arguments) {
  for (const value& argument : arguments) {
    if (is_val<jinja::value_int>(argument) && std::abs(double(argument->val_int)) > double(kLongestRange)) {
      Budget().Stop("asks for a range() of more than 10000 numbers");
    }
  }
}

struct LimitedCall : jinja::call_expression {
  using call_expression::call_expression;
  value execute_impl(context& ctx) const override {
    Budget().Step();
    const std::vector<value> arguments = Arguments(args, ctx);
    const value function = callee->execute(ctx);
    if (!is_val<jinja::value_func>(function))
      throw std::runtime_error("Callee is not a function: got " + function->type());
    const auto* called = jinja::cast_val<jinja::value_func>(function);
    if (called->name == "range") CheckRange(arguments);
    if (called->arg0) CheckProduct(called->arg0, arguments);
    jinja::func_args given(ctx);
    for (const value& argument : arguments) given.push_back(argument);
    value result = called->invoke(given);
    if (called->arg0) Checked(called->arg0);  // append()
    return Checked(std::move(result));
  }
};

struct LimitedFilter : jinja::filter_expression {
  using filter_expression::filter_expression;
  value execute_impl(context& ctx) const override {
    Budget().Step();
    const value input = operand->execute(ctx);
    const auto* call = cast_stmt<jinja::call_expression>(filter);
    const auto* bare = cast_stmt<jinja::identifier>(call ? call->callee : filter);
    if (!bare) throw std::runtime_error("Invalid filter expression");
    statement_ptr name = std::make_unique<jinja::identifier>(bare->val);
    name->pos = pos;
    if (call) {
      const std::vector<value> arguments = Arguments(call->args, ctx);
      CheckProduct(input, arguments);
      statements fixed;
      for (const value& argument : arguments) fixed.push_back(std::make_unique<Fixed>(argument));
      name = std::make_unique<jinja::call_expression>(std::move(name), std::move(fixed));
      name->pos = pos;
    }
    filter_expression rest(std::make_unique<Fixed>(input), std::move(name));
    rest.pos = pos;
    return Checked(rest.execute_impl(ctx));
  }
};

// What a block writes, as an operand.
struct Captured : jinja::expression {
  statement_ptr block;
  explicit Captured(statements&& body)
      : block(std::make_unique<jinja::if_statement>(std::make_unique<Fixed>(jinja::mk_val<jinja::value_bool>(true)),
                                                    std::move(body), statements())) {
    pos = block->pos = 0;
  }
  value execute_impl(context& ctx) const override { return block->execute(ctx); }
};

struct LimitedSet : jinja::set_statement {
  using set_statement::set_statement;
  value execute_impl(context& ctx) const override {
    value result = set_statement::execute_impl(ctx);
    if (const auto* member = cast_stmt<jinja::member_expression>(assignee)) {
      Checked(member->object->execute(ctx));  // an object put into itself
    } else if (const auto* name = cast_stmt<jinja::identifier>(assignee)) {
      Checked(ctx.get_val(name->val));
    }
    return result;
  }
};

template <typename Literal>
struct Limited : Literal {
  using Literal::Literal;
  value execute_impl(context& ctx) const override { return Checked(Literal::execute_impl(ctx)); }
};

void Limit(statement_ptr& node);

void LimitAll(statements& nodes) {
  for (statement_ptr& node : nodes) Limit(node);
}

void LimitBlock(statements& block) {
  LimitAll(block);
  for (statement_ptr& node : block) {
    const size_t pos = node->pos;
    node = std::make_unique<Counted>(std::move(node));
    node->pos = pos;
  }
}

template <typename Node, typename... Parts>
void Replace(statement_ptr& node, Parts&&... parts) {
  const size_t pos = node->pos;
  auto replacement = std::make_unique<Node>(std::forward<Parts>(parts)...);
  replacement->pos = pos;
  node = std::move(replacement);
}

void Limit(statement_ptr& node) {
  if (!node) return;
  if (auto* s = cast_stmt<jinja::if_statement>(node)) {
    Limit(s->test);
    LimitBlock(s->body);
    LimitBlock(s->alternate);
  } else if (auto* s = cast_stmt<jinja::for_statement>(node)) {
    Limit(s->iterable);
    LimitBlock(s->body);
    LimitBlock(s->default_block);
  } else if (auto* s = cast_stmt<jinja::set_statement>(node)) {
    Limit(s->assignee);
    Limit(s->val);
    LimitBlock(s->body);
    Replace<LimitedSet>(node, std::move(s->assignee), std::move(s->val), std::move(s->body));
  } else if (auto* s = cast_stmt<jinja::macro_statement>(node)) {
    LimitAll(s->args);
    LimitBlock(s->body);
  } else if (auto* s = cast_stmt<jinja::call_statement>(node)) {
    Limit(s->call);
    LimitAll(s->caller_args);
    LimitBlock(s->body);
  } else if (auto* s = cast_stmt<jinja::filter_statement>(node)) {
    LimitBlock(s->body);
    if (auto* call = cast_stmt<jinja::call_expression>(s->filter)) LimitAll(call->args);
    Replace<LimitedFilter>(node, std::make_unique<Captured>(std::move(s->body)), std::move(s->filter));
  } else if (auto* s = cast_stmt<jinja::member_expression>(node)) {
    Limit(s->object);
    Limit(s->property);
  } else if (auto* s = cast_stmt<jinja::call_expression>(node)) {
    Limit(s->callee);
    LimitAll(s->args);
    Replace<LimitedCall>(node, std::move(s->callee), std::move(s->args));
  } else if (auto* s = cast_stmt<jinja::filter_expression>(node)) {
    Limit(s->operand);
    if (auto* call = cast_stmt<jinja::call_expression>(s->filter)) LimitAll(call->args);
    Replace<LimitedFilter>(node, std::move(s->operand), std::move(s->filter));
  } else if (auto* s = cast_stmt<jinja::binary_expression>(node)) {
    Limit(s->left);
    Limit(s->right);
    Replace<LimitedBinary>(node, std::move(s->op), std::move(s->left), std::move(s->right));
  } else if (auto* s = cast_stmt<jinja::array_literal>(node)) {
    LimitAll(s->val);
    Replace<Limited<jinja::array_literal>>(node, std::move(s->val));
  } else if (auto* s = cast_stmt<jinja::tuple_literal>(node)) {
    LimitAll(s->val);  // may be the variables of a loop, which must stay what they are
  } else if (auto* s = cast_stmt<jinja::object_literal>(node)) {
    for (auto& [key, item] : s->val) {
      Limit(key);
      Limit(item);
    }
    Replace<Limited<jinja::object_literal>>(node, std::move(s->val));
  } else if (auto* s = cast_stmt<jinja::select_expression>(node)) {
    Limit(s->lhs);
    Limit(s->test);
  } else if (auto* s = cast_stmt<jinja::test_expression>(node)) {
    Limit(s->operand);
    if (auto* call = cast_stmt<jinja::call_expression>(s->test)) LimitAll(call->args);
  } else if (auto* s = cast_stmt<jinja::unary_expression>(node)) {
    Limit(s->argument);
  } else if (auto* s = cast_stmt<jinja::slice_expression>(node)) {
    Limit(s->start_expr);
    Limit(s->stop_expr);
    Limit(s->step_expr);
  } else if (auto* s = cast_stmt<jinja::keyword_argument_expression>(node)) {
    Limit(s->val);
  } else if (auto* s = cast_stmt<jinja::ternary_expression>(node)) {
    Limit(s->condition);
    Limit(s->true_expr);
    Limit(s->false_expr);
  }
}

bool OpensBlock(const std::vector<jinja::token>& tokens, size_t name) {
  const std::string& word = tokens[name].value;
  if (word == "if" || word == "for" || word == "macro" || word == "call" || word == "filter") return true;
  if (word != "set") return false;
  for (size_t i = name; i < tokens.size() && tokens[i].t != jinja::token::close_statement; ++i) {
    if (tokens[i].t == jinja::token::equals) return false;
  }
  return true;  // {% set name %} … {% endset %}
}

}  // namespace

void LimitTemplate(jinja::program& program) { LimitBlock(program.body); }

void CheckTemplateText(const std::string& source) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorCode::kTemplateInvalid, why); };
  if (source.size() > kLongestTemplate) {
    refuse("Expected a chat template of at most 1 MiB, received " + std::to_string(source.size()) + " bytes");
  }
  jinja::lexer_result lexed;
  try {
    lexed = jinja::lexer().tokenize(source);
  } catch (const std::exception& exception) {
    refuse(std::string("The chat template does not parse: ") + exception.what());
  }
  using Type = jinja::token;
  int brackets = 0, expression = 0, blocks = 0, branches = 0;
  for (size_t i = 0; i < lexed.tokens.size(); ++i) {
    const jinja::token& token = lexed.tokens[i];
    switch (token.t) {
      case Type::open_statement:
      case Type::open_expression: expression = brackets = 0; break;
      case Type::open_paren:
      case Type::open_square_bracket:
      case Type::open_curly_bracket:
        if (++brackets > kDeepestBrackets) refuse("Expected a chat template with brackets nested at most 100 deep");
        break;
      case Type::close_paren:
      case Type::close_square_bracket:
      case Type::close_curly_bracket: brackets = std::max(brackets - 1, 0); break;
      case Type::multiplicative_binary_operator:
        if (token.value == "*" && i + 1 < lexed.tokens.size() && lexed.tokens[i + 1].value == "*") {
          refuse("Expected a chat template without the ** operator");
        }
        break;
      case Type::identifier:
        if (i == 0 || lexed.tokens[i - 1].t != Type::open_statement) break;
        if (OpensBlock(lexed.tokens, i)) {
          if (++blocks > kDeepestBlocks) refuse("Expected a chat template with blocks nested at most 64 deep");
        } else if (token.value == "elif") {
          if (++branches > kMostBranches) refuse("Expected a chat template with at most 500 elif");
        } else if (token.value.starts_with("end")) {
          blocks = std::max(blocks - 1, 0);
        }
        break;
      default: break;
    }
    if (++expression > kLongestExpression) refuse("Expected a chat template with shorter expressions");
  }
}

TemplateBudget::TemplateBudget()
    : outer_(current_budget),
      stack_(reinterpret_cast<const char*>(this)),
      deadline_(std::chrono::steady_clock::now() + kLongestRun) {
  current_budget = this;
}

TemplateBudget::~TemplateBudget() { current_budget = outer_; }

TemplateBudget* TemplateBudget::Current() { return current_budget; }

void TemplateBudget::Stop(const char* why) {
  if (!exceeded_) exceeded_ = why;
  throw std::runtime_error(std::string("the template ") + exceeded_);
}

void TemplateBudget::Step() {
  const char here = 0;
  if (exceeded_) Stop(exceeded_);
  if (std::abs(stack_ - &here) > kDeepestStack) Stop("calls itself too deep");
  if (++steps_ > kMostSteps) Stop("takes too many steps");
  if (steps_ % 64 == 0 && std::chrono::steady_clock::now() > deadline_) Stop("takes longer than five seconds");
}

void TemplateBudget::Produce(size_t bytes) {
  produced_ += bytes;
  if (produced_ > kMostOutput) Stop("writes too much text");
}

}  // namespace sotto
