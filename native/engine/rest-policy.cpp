#include "engine/rest-policy.h"

#include <algorithm>
#include <cmath>

namespace sotto {
namespace {

constexpr double kWindow = 2;        // ms
constexpr double kWatch = 24;        // ms: some ticks
constexpr double kContended = 0.25;  // of that time; what comes and goes costs less than rests would
constexpr double kPutAside = 1.5;    // ms in a burst; less is an interrupt
constexpr double kFirstBurst = 2, kLeastBurst = 0.5;
constexpr double kLongBurst = 30;  // by then nobody wants the core any more
constexpr double kFirstGrowth = 1.4, kLeastGrowth = 1.02;
// Slightly more than it worked: a thread that wakes with its share still in debt waits until the next tick.
constexpr double kRest = 1.1;

}  // namespace

double RestPolicy::window_ms() const { return burst_ms_ > 0 ? std::min(burst_ms_, kWindow) : kWindow; }

double RestPolicy::Worked(double ms, double cpu_ms) {
  const double lost = ms - cpu_ms;
  if (burst_ms_ <= 0) {
    ms_ += ms;
    lost_ms_ += lost;
    if (ms_ < kWatch) return 0;
    if (lost_ms_ > kContended * ms_) {
      burst_ms_ = kFirstBurst;
      growth_ = kFirstGrowth;
    }
    ms_ = lost_ms_ = 0;
    return 0;
  }
  if (lost > kPutAside) {
    burst_ms_ = std::max(kLeastBurst, burst_ms_ / 2);
    growth_ = std::max(kLeastGrowth, std::sqrt(growth_));
    return 0;  // it has just rested
  }
  if (ms < burst_ms_) return -1;
  const double rest = kRest * burst_ms_;
  burst_ms_ *= growth_;
  if (burst_ms_ > kLongBurst) *this = RestPolicy();
  return rest;
}

}  // namespace sotto
