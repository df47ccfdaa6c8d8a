#include "engine/state-layout.h"

#include <cstring>
#include <new>

namespace sotto {
namespace {

struct Cell {
  int32_t position;
  uint32_t sequences;
  int32_t sequence;
};

template <typename Number>
bool Read(std::span<const uint8_t> state, size_t at, Number& number) {
  if (at > state.size() || state.size() - at < sizeof(number)) return false;
  std::memcpy(&number, state.data() + at, sizeof(number));
  return true;
}

}  // namespace

// llama_kv_cache::state_write_meta and state_write_data of the vendored version, once for each cache that the memory has.
std::optional<StateLayout> StateLayout::Of(std::span<const uint8_t> state, size_t tokens) {
  StateLayout layout;
  size_t at = 0, begin = 0;
  const auto section = [&](size_t head, size_t of_cell, bool cells) {
    at += head;
    if (at > state.size() || (of_cell > 0 && (state.size() - at) / of_cell < tokens)) return false;
    layout.sections_.push_back({{state.begin() + ptrdiff_t(begin), state.begin() + ptrdiff_t(at)}, of_cell, cells});
    at += of_cell * tokens;
    begin = at;
    return true;
  };
  at = 2 * sizeof(uint32_t);  // magic and sequence id
  while (at < state.size()) {
    uint32_t streams = 0, cells = 0, transposed = 0, layers = 0;
    if (!Read(state, at, streams) || !Read(state, at + 4, cells) || streams != 1 || cells != tokens)
      return std::nullopt;
    if (!section(8, sizeof(Cell), true)) return std::nullopt;
    if (!Read(state, at, transposed) || !Read(state, at + 4, layers) || layers == 0) return std::nullopt;
    at += 8;
    for (uint32_t i = 0; i < 2 * layers; ++i) {
      uint64_t row = 0;
      uint32_t size = 0, width = 0;
      if (i < layers || transposed == 0) {
        if (!Read(state, at + 4, row) || row > state.size() || !section(12, row, false)) return std::nullopt;
      } else {
        if (!Read(state, at + 4, size) || !Read(state, at + 8, width) || !section(12, size_t(size) * width, false))
          return std::nullopt;
      }
    }
  }
  return at == state.size() && begin == at ? std::optional(std::move(layout)) : std::nullopt;
}

StateLayout::Zeros StateLayout::Make(size_t cells) const {
  size_t size = 0;
  for (const Section& section : sections_) size += section.head.size() + section.of_cell * cells;
  Zeros zeros{std::unique_ptr<uint8_t[], Free>(static_cast<uint8_t*>(std::calloc(size + 1, 1))), size};
  if (!zeros.bytes) throw std::bad_alloc();
  uint8_t* at = zeros.bytes.get();
  for (const Section& section : sections_) {
    std::memcpy(at, section.head.data(), section.head.size());
    at += section.head.size();
    if (section.cells) {
      const uint32_t count = uint32_t(cells);
      std::memcpy(at - sizeof(count), &count, sizeof(count));
      for (size_t i = 0; i < cells; ++i) {
        const Cell cell{int32_t(i), 1, 0};
        std::memcpy(at + i * sizeof(cell), &cell, sizeof(cell));
      }
    }
    at += section.of_cell * cells;
  }
  return zeros;
}

}  // namespace sotto
