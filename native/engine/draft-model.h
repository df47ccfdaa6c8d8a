// draft-model.h: a small model that says ahead what the large one may say. Owns a context whose sequences follow those of the
// scheduler: what they hold is compared with the text at every draft, so whatever happened to a sequence in between, nobody has
// to tell. The scheduler's thread only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/handles.h"
#include "engine/model.h"
#include "engine/scheduler.h"

namespace sotto {

class DraftModel {
 public:
  // Throws Error(kModelMemory | kDraftInvalid).
  DraftModel(ModelPtr model, const Model& target, const SchedulerOptions& options, int32_t context_size,
             ggml_abort_callback abort, void* abort_data);

  llama_context* context() const { return context_.get(); }

  // A text to draft for. `slot`: -1 at first; what Draft sets stays valid until Release.
  struct Job {
    const std::string& principal;
    std::span<const int32_t> tokens;
    int count;
    int& slot;
    std::vector<int32_t>& draft;  // what comes next, at most `count` tokens
  };
  // The most likely next tokens of each text. At most `budget` tokens are read first: a text of which the model has not read
  // enough gets its draft in a later call. The caller holds the pool's turn.
  void Draft(std::vector<Job>& jobs, int budget);
  void Release(int slot);
  // Milliseconds for one token of every draft, of late; 0: not measured yet.
  double token_ms() const { return token_ms_; }

 private:
  struct Slot {
    std::vector<int32_t> tokens;  // in the KV cache
    std::string principal;        // whose they are: nobody's draft may come faster because of another's text
    bool taken = false;
    uint64_t last_used = 0;
  };
  int Take(const std::string& principal, std::span<const int32_t> tokens);
  void Cut(int slot, int length);
  bool Decode();

  ModelPtr model_;  // outlives context_
  llama_context_ptr context_;
  BatchPtr batch_;
  int32_t vocabulary_;  // tokens that both models know
  std::vector<Slot> slots_;
  uint64_t clock_ = 0;
  double token_ms_ = 0;
};

}  // namespace sotto
