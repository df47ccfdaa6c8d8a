// thread-governor.h: how many of a model's threads compute a token, when other programs want the cores too. Pure logic, no
// clock and no thread of its own; the scheduler asks and tells.
//
// ggml's threads meet at some hundred barriers a token and spin there: when one of them is put aside, all wait for it, and with
// two other busy programs on two cores a small model was seen at a twentieth of its speed, while one thread alone kept a quarter.
// So fewer threads are tried when these are starved or slow, more when some time has passed, and what is faster stays.
#pragma once

namespace sotto {

class ThreadGovernor {
 public:
  explicit ThreadGovernor(int most = 1) : most_(most), count_(most) {}

  // For the next step.
  int threads() const { return trial_ > 0 ? trial_ : count_; }

  // A step of `tokens` rows took `ms` of time, and `cpu_ms` of all threads of this process together.
  void Measured(int tokens, double ms, double cpu_ms);

 private:
  void EndTrial(bool better);

  int most_;
  int count_;
  int trial_ = 0;   // the count that is being tried, or 0
  int lowest_ = 0;  // that was tried in vain, or 0

  // of the window of steps that is being measured
  int steps_ = 0;
  double ms_ = 0;
  double cpu_ms_ = 0;

  int tokens_ = 0;       // of each step; another number, some times in a row, starts again
  int others_ = 0;       // steps of other numbers since
  double usual_ms_ = 0;  // a step with count_ threads, of late
  double best_ms_ = 0;   // and at its best
  double rest_ms_ = 0;   // until the next trial
  double pause_ms_ = 0;  // how long a failed trial keeps from the next one
};

}  // namespace sotto
