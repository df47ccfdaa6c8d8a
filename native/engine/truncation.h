// truncation.h: the candidates that the first truncating sampler of a chain may keep, out of a row of logits. They are few, and
// an array of the whole vocabulary is a megabyte that upstream would sort.
//
// Exact: the sampler computes the same bits from them as from the whole row. They come in the order of the row, and one is left
// out only when nothing that stands before it lets it in: so also where logits are equal, and upstream keeps those of them
// that its heap happens to hold.
#pragma once

#include <llama.h>

#include <map>
#include <vector>

#include "engine/logits.h"

namespace sotto {

class Truncation {
 public:
  Truncation() = default;                                 // leaves out only what is not a number
  static Truncation ToMostLikely(int32_t k);              // for a top_k; k ≥ 1
  static Truncation ToShareOfLargest(float probability);  // for a min_p that keeps as few as it likes; > 0

  // `kept`: what may survive of the `count` logits, tamed, in order. Tokens of `pinned` stay whatever their logit, and push nothing
  // out: a bias or a penalty has yet to move them.
  void Apply(const float* logits, int32_t count, const std::map<llama_token, int32_t>& pinned,
             std::vector<llama_token_data>& kept);

 private:
  void Raise(float logit);

  size_t most_ = 0;           // 0: no top_k
  float log_share_ = kNever;  // kNever: no min_p
  // Of the row so far:
  float floor_ = kNever;            // what is not above cannot survive
  float largest_ = kNever;          // for a min_p
  std::vector<float> most_likely_;  // for a top_k: its k and what has come since
};

}  // namespace sotto
