// model.h: weights, vocabulary and template of one GGUF file; immutable once loaded, shared by wrapper and scheduler.
// Dies with its last holder, in a job off the JS thread.
#pragma once

#include <llama-cpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mapped-files.h"
#include "engine/chat-format.h"
#include "engine/kernels.h"

namespace sotto {

struct AdapterOptions {
  std::string path;
  float scale = 1;
};

struct ModelOptions {
  std::vector<std::string> paths;    // one file (its -0000N-of- siblings are found), or every shard in order
  int32_t gpu_layers = -1;           // -1: all that a device can take; ignored without a GPU backend
  std::vector<std::string> devices;  // names from ListDevices(); empty: all
  bool mmap = true;
  bool mlock = false;
  bool direct_read = false;  // past the system's cache; not with mmap
  int prefetch = -1;         // what computing reads, before it does: 0 nothing, 1 all, -1 packed weights
  bool check_tensors = false;
  std::vector<AdapterOptions> adapters;
  bool upstream_kernels = false;  // compute with ggml's own kernels
  std::string packed_path;        // of the file of packed weights; empty: they stay in memory
};

struct ModelInfo {
  std::string architecture;  // general.architecture
  std::string name;          // general.name
  std::string description;   // upstream's one-line description, e.g. "llama 134M Q4_1"
  std::string quantisation;  // llama_ftype_name
  uint64_t parameters = 0;
  uint64_t bytes = 0;  // of all tensors
  int32_t context_train = 0;
  int32_t embedding_length = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t heads_kv = 0;
  int32_t vocabulary = 0;
  std::string vocabulary_type;  // bpe, spm, wpm, ugm, rwkv, none
  int32_t bos = -1, eos = -1, eot = -1;
  bool recurrent = false;
  bool hybrid = false;
  bool has_encoder = false, has_decoder = true;
  std::string chat_template;
  bool upstream_kernels = false;
  KernelInfo kernels;
  std::vector<std::pair<std::string, std::string>> metadata;  // scalar keys as text
};

class Model {
 public:
  // `progress` gets 0…1 on the calling thread. `abort` set: loading stops and throws kAborted.
  // Throws Error(kModelLoad | kModelUnsupported | kModelMemory | kAdapterInvalid | kAborted) with upstream's reason in
  // the message.
  static std::shared_ptr<const Model> Load(const ModelOptions& options, const std::atomic<bool>& abort,
                                           const std::function<void(float)>& progress);

  llama_model* get() const { return model_.get(); }
  const llama_vocab* vocab() const { return llama_model_get_vocab(model_.get()); }
  const ModelInfo& info() const { return info_; }
  // A mapped file that was cut short or could not be read, or null: nothing computed since is right.
  const char* damaged() const { return mapped_->damaged(); }
  std::string DamageMessage() const;
  const ChatFormat& chat_format() const { return *chat_format_; }
  const std::vector<std::pair<llama_adapter_lora*, float>>& adapters() const { return adapter_scales_; }

 private:
  Model() = default;
  std::unique_ptr<MappedFiles> mapped_;  // outlives the mappings
  llama_model_ptr model_;                // outlives the adapters and the templates
  std::vector<llama_adapter_lora_ptr> adapters_;
  std::vector<std::pair<llama_adapter_lora*, float>> adapter_scales_;
  std::unique_ptr<ChatFormat> chat_format_;
  ModelInfo info_;
};
using ModelPtr = std::shared_ptr<const Model>;

}  // namespace sotto
