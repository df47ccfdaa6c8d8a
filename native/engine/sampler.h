// sampler.h: from logits to a token. One Sampler per sequence, used by one thread at a time.
// Owns upstream's sampler chain, in the order the caller chose, and the grammar beside it.
#pragma once

#include <llama-cpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/event.h"
#include "engine/grammar.h"
#include "engine/recent-tokens.h"
#include "engine/truncation.h"

namespace sotto {

class Model;

// The names, defaults and ranges are llama.cpp's (include/llama.h); lib/sampling.ts documents them for users.
struct SamplingOptions {
  // Any of: penalties dry top_n_sigma top_k typical_p top_p min_p xtc temperature. Missing ones are off.
  std::vector<std::string> order;
  uint32_t seed = LLAMA_DEFAULT_SEED;  // LLAMA_DEFAULT_SEED: a random one
  int32_t min_keep = 0;
  float temperature = 0.8f;  // ≤ 0: greedy
  float dynatemp_range = 0;
  float dynatemp_exponent = 1;
  int32_t top_k = 40;
  float top_p = 0.95f;
  float min_p = 0.05f;
  float typical_p = 1;
  float top_n_sigma = -1;
  float xtc_probability = 0;
  float xtc_threshold = 0.1f;
  float dry_multiplier = 0;
  float dry_base = 1.75f;
  int32_t dry_allowed_length = 2;
  int32_t dry_penalty_last_n = -1;
  std::vector<std::string> dry_sequence_breakers;
  int32_t mirostat = 0;  // 0 off, 1, 2
  float mirostat_tau = 5;
  float mirostat_eta = 0.1f;
  int32_t repeat_last_n = 64;
  float repeat_penalty = 1;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;
};

class Sampler {
 public:
  // Throws Error(kOptionInvalid). `grammar` may be null. `lenient`: a grammar that the text has left anyway is dropped
  // instead of failing the request; for grammars that wait for a trigger, where upstream may trigger on a false start.
  Sampler(const Model& model, const SamplingOptions& options, Grammar grammar, bool lenient = false);

  // Does not accept the token. `logits` has n_vocab entries and is not changed. When bias and grammar leave nothing, the
  // token is an end-of-generation one. Greedy without grammar or penalties takes the arg-max without a candidate array.
  // Throws std::exception when there is nothing to choose from (no logit is a number), or the grammar takes too long.
  llama_token Sample(const float* logits);

  // Tells the chain, and the grammar, that `token` is now part of the text. Prompt tokens feed the penalties, not the
  // grammar.
  void Accept(llama_token token);
  void AcceptPrompt(const std::vector<int32_t>& tokens);
  // Text that the template has already written on the model's behalf: the grammar starts after it.
  void AcceptGrammar(const std::vector<int32_t>& tokens);

  // Log-probabilities of `token` and of the `top` most likely, from raw logits. O(n_vocab).
  TokenLogprobs Logprobs(const float* logits, llama_token token, int32_t top) const;

 private:
  llama_token ArgMax(const float* logits) const;
  llama_token SampleFrom(const float* logits, bool constrained);
  void AcceptInChain(llama_token token);
  void AcceptInGrammar(llama_token token);
  llama_token End(const float* logits) const;

  const llama_vocab* vocab_;
  int32_t n_vocab_;
  bool greedy_ = false;  // nothing but bias and the arg-max: no candidate array
  bool lenient_;
  std::vector<std::pair<llama_token, float>> bias_;  // sorted, one entry a token
  Grammar grammar_;
  llama_sampler_ptr chain_;
  Truncation truncation_;  // what the chain need not see
  RecentTokens moved_;     // whose logit is not yet what the truncation sees: a bias or a penalty comes after it
  std::vector<llama_token_data> candidates_;  // reused for every token: one allocation per request, not per token
};

}  // namespace sotto
