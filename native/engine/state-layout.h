// state-layout.h: how upstream lays out the state of a sequence, found by walking one: what is the same for any number of cells, and what
// repeats for each. From it a state of zeros is made, which is the only way through upstream's public interface to overwrite free cells.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace sotto {

class StateLayout {
 public:
  // Of a state of `tokens` cells in caches of attention alone; none when it is not understood to its last byte.
  static std::optional<StateLayout> Of(std::span<const uint8_t> state, size_t tokens);

  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  struct Zeros {
    std::unique_ptr<uint8_t[], Free> bytes;
    size_t size;
  };
  // A state of so many cells, at positions from 0 on, whose keys and values are zero. Pages that nobody writes take no memory.
  // Throws std::bad_alloc.
  Zeros Make(size_t cells) const;

 private:
  struct Section {
    std::vector<uint8_t> head;  // as it is
    size_t of_cell = 0;         // bytes behind it for each cell
    bool cells = false;         // these are its position and sequence; and `head` ends with the number of cells
  };
  std::vector<Section> sections_;
};

}  // namespace sotto
