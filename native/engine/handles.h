// handles.h: the RAII skins that llama-cpp.h and ggml-cpp.h lack.
#pragma once

#include <ggml-cpp.h>
#include <llama-cpp.h>

#include <memory>

namespace sotto {

// llama_batch_init and _free in one object; `capacity` tokens, one sequence id each.
class BatchPtr {
 public:
  explicit BatchPtr(int capacity) : batch_(llama_batch_init(capacity, 0, 1)), capacity_(capacity) {}
  ~BatchPtr() { llama_batch_free(batch_); }
  BatchPtr(const BatchPtr&) = delete;
  BatchPtr& operator=(const BatchPtr&) = delete;

  int size() const { return batch_.n_tokens; }
  int capacity() const { return capacity_; }
  const llama_batch& get() const { return batch_; }
  void Clear() { batch_.n_tokens = 0; }

  // Returns the row of the token, which is what llama_get_logits_ith wants when `output` is set.
  int Add(llama_token token, llama_pos position, llama_seq_id sequence, bool output) {
    const int row = batch_.n_tokens++;
    batch_.token[row] = token;
    batch_.pos[row] = position;
    batch_.n_seq_id[row] = 1;
    batch_.seq_id[row][0] = sequence;
    batch_.logits[row] = output ? 1 : 0;
    return row;
  }

 private:
  llama_batch batch_;
  int capacity_;
};

}  // namespace sotto
