// sequence.h: one request in flight (llama-server calls it a slot): its tokens, how many of them are in the KV cache,
// and what turns new tokens into text. A sequence with one token that is not in the cache generates; with more it
// prefills. That is also all there is to preemption: forget the cache, keep the tokens, prefill again later.
#pragma once

#include <memory>
#include <vector>

#include "engine/detokenizer.h"
#include "engine/request.h"
#include "engine/speculation.h"
#include "engine/stop-matcher.h"

namespace sotto {

struct Sequence {
  Sequence(std::unique_ptr<Request> taken, const llama_vocab* vocab)
      : request(std::move(taken)),
        tokens(std::move(request->tokens)),
        prompt_length(int(tokens.size())),
        detokenizer(vocab, request->preserved_tokens),
        stop_matcher(request->stop) {}

  std::unique_ptr<Request> request;
  std::vector<int32_t> tokens;  // prompt and answer
  int prompt_length;
  int cached = 0;  // tokens in the KV cache; always fewer than tokens.size() between steps
  int id = -1;     // in the PrefixCache; -1: waiting
  uint64_t arrival = 0;
  uint64_t last_prefill = 0;  // step that last prefilled for it: turns are taken by this

  // of the step that is being computed
  int chunk = 0;               // known tokens in the batch
  int row = -1;                // batch row with logits, or -1
  std::vector<int32_t> draft;  // proposed tokens behind them
  bool draft_from_model = false;

  Detokenizer detokenizer;
  StopMatcher stop_matcher;
  std::unique_ptr<Speculation> speculation;  // null: nothing is proposed
  int draft_slot = -1;                       // in the DraftModel
  int generated = 0;
  int drafted = 0, accepted = 0;  // tokens, of all drafts
  int reused = -1;                // tokens found in the cache at first admission; -1: not admitted yet
  Clock::time_point admitted, prefilled, first_token;

  int pending() const { return int(tokens.size()) - cached; }
  bool prefilling() const { return pending() > 1; }
  bool cancelled() const { return request->control->cancelled; }
  // A reader that does not read holds its own sequence back once the prompt is done; prefill goes on, it has nothing to
  // show.
  bool paused() const { return !prefilling() && request->control->paused; }
};
using SequencePtr = std::unique_ptr<Sequence>;

}  // namespace sotto
