#include "engine/prompt-threads.h"

namespace sotto {
namespace {

constexpr double kStarved = 0.85;  // spinning threads use all of their time; these used less: something else did
constexpr double kMeasurable = 5;  // ms; threads that slept before a shorter step are not starved
constexpr double kRest = 2000;     // ms of prompts

}  // namespace

void PromptThreads::Measured(bool crew, int threads, double ms, double cpu_ms) {
  if (crew) {
    rest_ms_ -= ms;
  } else if (ms >= kMeasurable && cpu_ms < kStarved * threads * ms) {
    rest_ms_ = kRest;
  }
}

}  // namespace sotto
