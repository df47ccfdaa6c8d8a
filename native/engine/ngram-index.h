// ngram-index.h: where a text has been before. Finds the latest of the longest passages that its last tokens repeat, and
// proposes what followed there: quotations, code that is edited, JSON with recurring keys. LZ77's hash chains, with a
// bounded walk: O(1) a token, amortised, and at most 20 bytes of memory each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sotto {

class NgramIndex {
 public:
  void Append(int32_t token);
  int size() const { return int(tokens_.size()); }

  // How many of the last tokens stand at the found place too; 0: they are new. Looks for one when there is none.
  int Match();
  // The token that followed there, and those behind it; where the place runs into the end, the text goes on repeating
  // itself. Only after Match() found one.
  int32_t Proposal(int ahead) const;

 private:
  size_t Slot(size_t position) const;
  void Insert(size_t position);
  int CommonEnd(int a, int b) const;

  std::vector<int32_t> tokens_;
  std::vector<int32_t> latest_;    // by hash: where the last pair of tokens with it ends, or -1
  std::vector<int32_t> previous_;  // by position: where the pair before it in the chain ends, or -1
  int from_ = -1;                  // the place that is copied from, or -1
  int length_ = 0;
  bool searched_ = false;  // since the last token, in vain or not
};

}  // namespace sotto
