#include "engine/context-state.h"

#include <cstring>

#include "base/wipe.h"

namespace sotto {

ContextState::ContextState(std::vector<int32_t> tokens, size_t bytes)
    : tokens_(std::move(tokens)), bytes_(std::make_unique_for_overwrite<uint8_t[]>(bytes)), size_(bytes) {}

void ContextState::Wipe() {
  WipeMemory(tokens_.data(), tokens_.size() * sizeof(int32_t));
  tokens_.clear();
  if (bytes_) WipeMemory(bytes_.get(), size_);
  bytes_.reset();
  size_ = 0;
}

// As llama_context::state_seq_get_data, llama_kv_cache::state_write and llama_memory_recurrent::state_write of the vendored version
// write it: magic, sequence id, streams, cells, and of each cell its position and the one sequence that it belongs to; without attention no
// streams, one cell, its position, and no sequence.
bool IsStateOf(std::span<const uint8_t> bytes, size_t tokens, bool recurrent) {
  if (recurrent) {
    struct {
      uint32_t magic, sequence, cells, position, sequences;
    } only;
    if (bytes.size() < sizeof(only)) return false;
    std::memcpy(&only, bytes.data(), sizeof(only));
    return only.cells == 1 && only.position + 1 == tokens && only.sequences == 0;
  }
  struct Head {
    uint32_t magic, sequence, streams, cells;
  } head;
  struct Cell {
    int32_t position;
    uint32_t sequences;
    int32_t sequence;
  } cell;
  if (tokens > bytes.size() / sizeof(cell) || bytes.size() < sizeof(head) + tokens * sizeof(cell)) return false;
  std::memcpy(&head, bytes.data(), sizeof(head));
  if (head.streams != 1 || head.cells != tokens) return false;
  std::vector<bool> seen(tokens);
  for (size_t i = 0; i < tokens; ++i) {
    std::memcpy(&cell, bytes.data() + sizeof(head) + i * sizeof(cell), sizeof(cell));
    if (cell.sequences != 1 || cell.position < 0 || size_t(cell.position) >= tokens || seen[size_t(cell.position)])
      return false;
    seen[size_t(cell.position)] = true;
  }
  return true;
}

}  // namespace sotto
