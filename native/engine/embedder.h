// embedder.h: texts to vectors. Owns a second llama_context with pooled output, made at the first embedding, and packs
// the inputs of many requests into one batch. The scheduler's thread only.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "engine/handles.h"
#include "engine/model.h"
#include "engine/request.h"

namespace sotto {

class Embedder {
 public:
  struct Options {
    int32_t batch_size = 2048;  // most tokens in one step, and of one input: pooling needs a sequence whole
    int32_t pooling = -1;       // llama_pooling_type; -1: the model's own, or mean where it names none
    ggml_abort_callback abort = nullptr;
    void* abort_data = nullptr;
  };
  // Throws Error(kModelMemory | kEmbeddingUnsupported).
  Embedder(ModelPtr model, const Options& options);

  void Add(std::unique_ptr<Request> request);
  bool idle() const { return jobs_.empty(); }
  llama_context* context() const { return context_.get(); }

  // One batch: the next inputs of the oldest requests. Appends a kVectors and a kDone event for every request it
  // completes, kFailed for those that cannot be computed. The caller holds the pool's turn.
  void Step(std::vector<Event>& out);
  // Ends every request with `code`.
  void FailAll(ErrorCode code, const std::string& message, std::vector<Event>& out);
  // Whether somebody wants the batch that is running now to stop.
  bool Cancelled() const;

 private:
  struct Job {
    std::unique_ptr<Request> request;
    Clock::time_point admitted;
    std::vector<float> vectors;  // rows in input order
    size_t next = 0;             // first input that is not in a batch yet
    size_t done = 0;
    int32_t tokens = 0;
  };
  bool Check(const Request& request, std::vector<Event>& out) const;
  void Finish(Job& job, FinishReason reason, std::vector<Event>& out);

  ModelPtr model_;  // outlives context_
  llama_context_ptr context_;
  std::unique_ptr<BatchPtr> batch_;
  int32_t columns_ = 0;
  bool ranks_ = false;
  std::list<Job> jobs_;  // a list: a batch keeps pointers to jobs while others leave
};

}  // namespace sotto
