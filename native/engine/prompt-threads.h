// prompt-threads.h: who computes a step that prefills. Pure logic; the scheduler asks and tells.
//
// ggml's pool shares every operation and meets at a barrier after each; with a crew, whose members nobody waits for, small operations are one thread's
// work. They are some 3 % of a prompt: two threads are as fast either way, eight would be a seventh slower with a crew. But when another program wants the
// cores, a pool waits at every barrier for whoever is put aside: beside eight busy programs 128 tokens of smol took 2 s instead of 0.3.
#pragma once

namespace sotto {

class PromptThreads {
 public:
  // Whether a crew is to compute a step of `rows` with so many threads.
  bool Crew(int threads, int rows) const { return threads <= kFewThreads || rows <= kFewRows || starved(); }
  // Whether the pool was found waiting for threads that were put aside, not long ago.
  bool starved() const { return rest_ms_ > 0; }

  // Such a step took `ms` of time, and `cpu_ms` of all threads of this process together.
  void Measured(bool crew, int threads, double ms, double cpu_ms);

 private:
  static constexpr int kFewThreads = 3;
  static constexpr int kFewRows = 32;  // barriers cost as much as the operations between them
  double rest_ms_ = 0;                 // until the pool is tried again
};

}  // namespace sotto
