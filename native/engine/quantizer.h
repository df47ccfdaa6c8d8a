// quantizer.h: a model file into one of smaller weights, by upstream's quantiser. That cannot be stopped, and it ends the process over what it
// did not expect: lib/quantize.ts runs it in a process of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace sotto {

// How much each input of a tensor matters, from an importance matrix.
struct Importance {
  std::string tensor;
  std::vector<float> values;  // a row, or one for each expert
};

struct QuantizeOptions {
  std::string input;                  // a file, or the first of shards that have upstream's names
  std::string output;                 // a file; of shards, what stands before -00001-of-0000N.gguf
  int32_t file_type = 0;              // llama_ftype
  int32_t output_tensor_type = -1;    // ggml_type; -1: what the file type has for it
  int32_t token_embedding_type = -1;  // the same
  int32_t threads = 1;
  bool allow_requantize = false;
  bool leave_output_tensor = false;
  bool pure = false;
  bool keep_split = false;
  double elements = 0;  // of all tensors, for the progress
  std::vector<Importance> importance;
  std::vector<std::pair<std::string, std::string>> texts;  // metadata to add
  std::vector<std::pair<std::string, int64_t>> counts;     // the same
};

// `report` gets 0…1 on the calling thread, by elements, when a tensor begins.
// Throws Error(kOptionInvalid | kImatrixInvalid | kDisk | kModelUnsupported | kQuantizeFailed) with upstream's reason.
void Quantize(const QuantizeOptions& options, const std::function<void(float)>& report);

}  // namespace sotto
