// abort-shield.h: a failed assertion of ggml's, as an exception instead of the end of the process, where one thread does all the work.
#pragma once

namespace sotto {

// While one lives, what ggml would abort over on this thread throws std::runtime_error with ggml's sentence: for loading models, making contexts and
// building graphs, which upstream's own code leaves by exceptions too. Not for computing: ggml's threads wait for each other, and one that left
// would be waited for. May be nested.
class AbortShield {
 public:
  AbortShield();
  ~AbortShield();
  AbortShield(const AbortShield&) = delete;
  AbortShield& operator=(const AbortShield&) = delete;

  // For ggml_set_abort_callback: throws on a shielded thread, else says why the process ends, and returns to have it ended.
  static void OnAbort(const char* message);
};

}  // namespace sotto
