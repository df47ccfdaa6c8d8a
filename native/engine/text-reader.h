// text-reader.h: a text in windows, and a model that reads them for somebody who measures it: contexts of their own on weights that may be in use
// elsewhere; computes on the thread that calls, in turns with everybody else on the pool.
#pragma once

#include <llama-cpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/handles.h"
#include "engine/kernels.h"
#include "engine/model.h"
#include "engine/threads.h"

namespace sotto {

struct TextOptions {
  int32_t context_size = 512;  // tokens of a window
  int32_t chunks = 0;          // most windows; 0: all of the text
  ThreadOptions threads;
};

class TextWindows {
 public:
  // Throws Error(kTextTooShort): there must be two.
  TextWindows(const Model& model, const std::string& text, const TextOptions& options);

  int64_t tokens() const { return int64_t(tokens_.size()); }
  int32_t count() const { return count_; }
  // Its first token is the one that begins a text, where the vocabulary has one.
  std::vector<llama_token> At(int32_t window) const;

 private:
  std::vector<llama_token> tokens_;
  const int32_t size_;
  int32_t count_;
  llama_token begin_;
};

// A model and a context that holds one window.
class TextReader {
 public:
  // As ggml's scheduler asks it: with `ask`, whether to stop behind a node; then, with its data there, whether to go on.
  using Watcher = bool (*)(ggml_tensor* node, bool ask, void* data);

  // `stop` is asked often, on several threads' behalf but one at a time. Throws Error(kModelUnsupported | kModelMemory).
  TextReader(ModelPtr model, const TextOptions& options, const std::function<bool()>& stop, Watcher watch = nullptr,
             void* watch_data = nullptr);

  int32_t rows() const { return batch_.capacity(); }

  void Forget() { llama_memory_clear(llama_get_memory(context_.get()), true); }

  // Rows of a window from `begin` to `end`, at most rows() of them; with `outputs`, their logits can be had until the next.
  // Throws Error(kModelChanged | kDecodeFailed | kAborted).
  void Read(const std::vector<llama_token>& window, int32_t begin, int32_t end, bool outputs);

  const float* logits(int32_t row) const;

 private:
  void Compute(KernelUse& kernels);
  llama_context_ptr Open(const TextOptions& options, Watcher watch, void* watch_data);

  ModelPtr model_;  // outlives context_
  const std::function<bool()>& stop_;
  const int threads_;
  bool shareable_ = false;
  std::shared_ptr<ThreadPool> pool_;  // and so does this
  llama_context_ptr context_;
  BatchPtr batch_;
};

}  // namespace sotto
