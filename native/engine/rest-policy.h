// rest-policy.h: when a thread of a crew rests, because another program wants its core. Pure logic, no clock and no thread of its own.
//
// A thread whose share of a core is used up is put aside wherever it happens to be: in the middle of a piece that everyone then
// waits for, for several milliseconds. One that rests between two pieces before that happens keeps nobody waiting, and takes its
// core back at once when it wakes, since it has a share in hand. Beside one busy program on two cores, a model that fills the memory
// bus went from 48 to 61–66 % of its quiet speed; 73 % would be a fair share.
#pragma once

namespace sotto {

class RestPolicy {
 public:
  // After how many milliseconds since its last rest a thread says what it got.
  double window_ms() const;

  // In `ms` of time this thread ran for `cpu_ms`, with something to do all along. How many milliseconds to rest now; 0: none, and the
  // window starts again; negative: none, and it goes on.
  double Worked(double ms, double cpu_ms);

 private:
  double burst_ms_ = 0;  // between two rests; 0: nobody else wants the core for long
  double growth_ = 0;    // of bursts that went well: the share may be larger than it was
  double ms_ = 0;        // of late, while it does not rest
  double lost_ms_ = 0;   // of these
};

}  // namespace sotto
