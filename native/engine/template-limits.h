// template-limits.h: bounds for chat templates. A template comes from a file and is a program; upstream's Jinja interpreter has
// no limit on steps, memory or recursion, and writes every number of a range() into a list.
//
// So the text is checked before it is parsed (size, nesting, length of expressions: upstream's parser recurses), and the parsed
// program is rewritten: statements count their steps and output, and whatever can make a value larger than its parts asks first.
// Upstream's own nodes still do the work. The limits hold for everything that runs while a TemplateBudget lives on the thread.
#pragma once

#include <jinja/runtime.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace sotto {

// Throws Error(kTemplateInvalid).
void CheckTemplateText(const std::string& source);

void LimitTemplate(jinja::program& program);

class TemplateBudget {
 public:
  TemplateBudget();
  ~TemplateBudget();
  TemplateBudget(const TemplateBudget&) = delete;
  TemplateBudget& operator=(const TemplateBudget&) = delete;

  // Why the template was stopped; null while it was not. Upstream swallows exceptions of templates it only probes, so ask.
  const char* exceeded() const { return exceeded_; }

  // For the rewritten nodes: throw std::runtime_error when a limit is passed, and for ever after.
  void Step();
  void Produce(size_t bytes);
  [[noreturn]] void Stop(const char* why);

  static TemplateBudget* Current();

 private:
  TemplateBudget* outer_;
  const char* stack_;
  std::chrono::steady_clock::time_point deadline_;
  uint64_t steps_ = 0;
  uint64_t produced_ = 0;
  const char* exceeded_ = nullptr;
};

}  // namespace sotto
