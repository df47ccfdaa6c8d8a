#include "engine/prompt-threads.h"

namespace sotto {
namespace {

constexpr double kStarved = 0.85;  // spinning threads use all of their time; these used less: something else did
constexpr double kRest = 2000;     // ms of prompts

}  // namespace

void PromptThreads::Measured(bool crew, int threads, double ms, double cpu_ms) {
  if (crew) {
    rest_ms_ -= ms;
  } else if (cpu_ms < kStarved * threads * ms) {
    rest_ms_ = kRest;
  }
}

}  // namespace sotto
