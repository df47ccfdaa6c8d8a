// state.cpp: the state of a conversation, as it comes out of a file: whatever its bytes are, what IsStateOf lets through upstream restores or refuses, and
// the sequence beside it goes on. By libFuzzer; SOTTO_FUZZ_MODEL names a small model. With an argument SOTTO_FUZZ_SEED it writes a real state there and ends.

#include <ggml.h>
#include <llama-cpp.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "engine/context-state.h"
#include "engine/state-layout.h"

namespace {

constexpr int kCells = 64, kTokens = 12;

struct Fixture {
  llama_model_ptr model;
  llama_context_ptr context;
} fixture;

void Decode(int position, int token) {
  llama_batch batch = llama_batch_init(1, 0, 1);
  batch.n_tokens = 1;
  batch.token[0] = token;
  batch.pos[0] = position;
  batch.n_seq_id[0] = 1;
  batch.seq_id[0][0] = 0;
  batch.logits[0] = 1;
  if (llama_decode(fixture.context.get(), batch) != 0) std::abort();
  llama_batch_free(batch);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  const char* path = std::getenv("SOTTO_FUZZ_MODEL");
  fixture.model.reset(path ? llama_model_load_from_file(path, llama_model_default_params()) : nullptr);
  if (!fixture.model) {
    std::fprintf(stderr, "Expected SOTTO_FUZZ_MODEL to name a model\n");
    std::exit(2);
  }
  llama_context_params params = llama_context_default_params();
  params.n_ctx = kCells;
  params.n_batch = kCells;
  params.n_seq_max = 2;
  params.kv_unified = true;
  params.n_threads = params.n_threads_batch = 1;
  fixture.context.reset(llama_init_from_model(fixture.model.get(), params));
  for (int i = 0; i < kTokens; ++i) Decode(i, i + 1);
  if (const char* seed = std::getenv("SOTTO_FUZZ_SEED")) {
    std::vector<uint8_t> bytes(llama_state_seq_get_size(fixture.context.get(), 0));
    llama_state_seq_get_data(fixture.context.get(), bytes.data(), bytes.size(), 0);
    FILE* file = std::fopen(seed, "wb");
    if (!file || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) std::exit(2);
    std::fclose(file);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  for (const bool recurrent : {true, false}) {
    for (const size_t tokens : {size_t(1), size_t(kTokens), size_t(kCells)}) sotto::IsStateOf(bytes, tokens, recurrent);
  }
  uint32_t tokens = 0;
  if (size >= 16) std::memcpy(&tokens, data + 12, sizeof(tokens));
  if (tokens == 0 || tokens >= kCells || !sotto::IsStateOf(bytes, tokens, false)) return 0;
  if (const auto layout = sotto::StateLayout::Of(bytes, tokens)) {
    const auto zeros = layout->Make(5);
    if (!sotto::IsStateOf({zeros.bytes.get(), zeros.size}, 5, false)) std::abort();
  }
  const llama_memory_t memory = llama_get_memory(fixture.context.get());
  llama_state_seq_set_data(fixture.context.get(), data, size, 1);
  llama_memory_seq_rm(memory, 1, -1, -1);
  if (llama_memory_seq_pos_max(memory, 0) != kTokens - 1) std::abort();
  llama_memory_seq_rm(memory, 0, kTokens - 1, -1);
  Decode(kTokens - 1, 7);
  return 0;
}
