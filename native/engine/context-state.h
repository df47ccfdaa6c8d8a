// context-state.h: a conversation outside the KV cache: its tokens, and what upstream writes of their cells. Wiped when it dies, since
// keys and values tell what was said. Whoever holds it last frees it; only one holder at a time writes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sotto {

using ContextId = uint32_t;  // of a conversation, given by JavaScript; 0: of none

class ContextState {
 public:
  // Throws std::bad_alloc.
  ContextState(std::vector<int32_t> tokens, size_t bytes);
  ~ContextState() { Wipe(); }
  ContextState(const ContextState&) = delete;
  ContextState& operator=(const ContextState&) = delete;

  std::span<const int32_t> tokens() const { return tokens_; }
  std::span<uint8_t> bytes() const { return {bytes_.get(), size_}; }
  // Zeros, and no bytes any more.
  void Wipe();

 private:
  std::vector<int32_t> tokens_;
  std::unique_ptr<uint8_t[]> bytes_;
  size_t size_;
};
using ContextStatePtr = std::shared_ptr<ContextState>;

// Whether the bytes begin as those of one sequence of `tokens` tokens do: what upstream would believe without looking. What follows,
// types and sizes of rows, it compares itself. `recurrent`: without attention.
bool IsStateOf(std::span<const uint8_t> bytes, size_t tokens, bool recurrent);

}  // namespace sotto
