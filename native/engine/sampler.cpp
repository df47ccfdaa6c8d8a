#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/model.h"
#include "engine/tokenizer.h"

namespace sotto {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// What upstream would abort over, or silently compute nonsense from. `name` is the option as JavaScript spells it.
void Expect(bool good, const char* name, const char* expected, double received) {
  if (good) return;
  throw Error(ErrorCode::kOptionInvalid,
              std::string("Expected ") + name + " to be " + expected + ", received " + std::to_string(received));
}

void Check(const SamplingOptions& o, int32_t n_vocab) {
  const auto finite = [](float value) { return std::isfinite(value); };
  const auto unit = [](float value) { return value >= 0 && value <= 1; };
  Expect(finite(o.temperature), "temperature", "finite", o.temperature);
  Expect(finite(o.dynatemp_range) && o.dynatemp_range >= 0, "dynatempRange", "0 or more", o.dynatemp_range);
  Expect(finite(o.dynatemp_exponent), "dynatempExponent", "finite", o.dynatemp_exponent);
  Expect(unit(o.top_p), "topP", "from 0 to 1", o.top_p);
  Expect(unit(o.min_p), "minP", "from 0 to 1", o.min_p);
  Expect(unit(o.typical_p), "typicalP", "from 0 to 1", o.typical_p);
  Expect(finite(o.top_n_sigma), "topNSigma", "finite", o.top_n_sigma);
  Expect(unit(o.xtc_probability), "xtcProbability", "from 0 to 1", o.xtc_probability);
  Expect(unit(o.xtc_threshold), "xtcThreshold", "from 0 to 1", o.xtc_threshold);
  Expect(finite(o.dry_multiplier) && o.dry_multiplier >= 0, "dryMultiplier", "0 or more", o.dry_multiplier);
  Expect(finite(o.dry_base), "dryBase", "finite", o.dry_base);
  Expect(o.dry_allowed_length >= 0, "dryAllowedLength", "0 or more", o.dry_allowed_length);
  Expect(o.mirostat >= 0 && o.mirostat <= 2, "mirostat", "0, 1 or 2", o.mirostat);
  Expect(finite(o.mirostat_tau) && o.mirostat_tau > 0, "mirostatTau", "positive", o.mirostat_tau);
  Expect(finite(o.mirostat_eta) && o.mirostat_eta > 0, "mirostatEta", "positive", o.mirostat_eta);
  Expect(finite(o.repeat_penalty) && o.repeat_penalty > 0 && finite(1 / o.repeat_penalty), "repeatPenalty", "positive",
         o.repeat_penalty);
  Expect(finite(o.frequency_penalty), "frequencyPenalty", "finite", o.frequency_penalty);
  Expect(finite(o.presence_penalty), "presencePenalty", "finite", o.presence_penalty);
  for (const auto& [token, bias] : o.logit_bias) {
    Expect(token >= 0 && token < n_vocab, "logitBias", "keyed by tokens of the vocabulary", token);
    Expect(!std::isnan(bias) && bias != std::numeric_limits<float>::infinity(), "logitBias", "finite or -Infinity",
           bias);
  }
}

bool Penalizes(const SamplingOptions& o) {
  return o.repeat_last_n != 0 && (o.repeat_penalty != 1 || o.frequency_penalty != 0 || o.presence_penalty != 0);
}

llama_sampler* MakeNamed(const std::string& name, const SamplingOptions& o, const Model& model) {
  const llama_vocab* vocab = model.vocab();
  const int32_t train = std::max(model.info().context_train, 1);
  const size_t keep = size_t(std::max(o.min_keep, 0));
  if (name == "penalties") {
    if (!Penalizes(o)) return nullptr;
    const int32_t last_n = o.repeat_last_n < 0 ? train : o.repeat_last_n;
    return llama_sampler_init_penalties(llama_vocab_n_tokens(vocab), last_n, o.repeat_penalty, o.frequency_penalty,
                                        o.presence_penalty);
  }
  if (name == "dry") {
    if (o.dry_multiplier == 0) return nullptr;
    std::vector<const char*> breakers;
    for (const std::string& breaker : o.dry_sequence_breakers) breakers.push_back(breaker.c_str());
    return llama_sampler_init_dry(vocab, o.dry_multiplier, o.dry_base, o.dry_allowed_length,
                                  o.dry_penalty_last_n < 0 ? train : o.dry_penalty_last_n, breakers.data(),
                                  breakers.size());
  }
  if (name == "top_n_sigma") return o.top_n_sigma > 0 ? llama_sampler_init_top_n_sigma(o.top_n_sigma) : nullptr;
  if (name == "top_k") return o.top_k > 0 ? llama_sampler_init_top_k(o.top_k) : nullptr;
  if (name == "typical_p") return o.typical_p < 1 ? llama_sampler_init_typical(o.typical_p, keep) : nullptr;
  if (name == "top_p") return o.top_p < 1 ? llama_sampler_init_top_p(o.top_p, keep) : nullptr;
  if (name == "min_p") return o.min_p > 0 ? llama_sampler_init_min_p(o.min_p, keep) : nullptr;
  if (name == "xtc") {
    return o.xtc_probability > 0 ? llama_sampler_init_xtc(o.xtc_probability, o.xtc_threshold, keep, o.seed) : nullptr;
  }
  if (name == "temperature") return llama_sampler_init_temp_ext(o.temperature, o.dynatemp_range, o.dynatemp_exponent);
  throw Error(ErrorCode::kOptionInvalid, "Expected samplers to name known samplers, received \"" + name + "\"");
}

}  // namespace

Sampler::Sampler(const Model& model, const SamplingOptions& options, Grammar grammar)
    : vocab_(model.vocab()), n_vocab_(llama_vocab_n_tokens(model.vocab())), grammar_(std::move(grammar)) {
  Check(options, n_vocab_);
  llama_sampler_chain_params params = llama_sampler_chain_default_params();
  params.no_perf = true;
  chain_.reset(llama_sampler_chain_init(params));
  const auto add = [this](llama_sampler* sampler) {
    if (sampler) llama_sampler_chain_add(chain_.get(), sampler);
  };

  std::vector<llama_logit_bias> bias;
  for (const auto& [token, value] : options.logit_bias) bias.push_back({token, value});
  int32_t suppressed = 0;
  const llama_token* suppress = llama_vocab_get_suppress_tokens(vocab_, &suppressed);
  for (int32_t i = 0; i < suppressed; ++i) bias.push_back({suppress[i], kNever});
  if (!bias.empty()) add(llama_sampler_init_logit_bias(n_vocab_, int32_t(bias.size()), bias.data()));

  const bool greedy = options.temperature <= 0;
  if (greedy) {
    // Truncation never removes the most likely token: only what changes its rank matters.
    for (const std::string& name : options.order) {
      if (name == "penalties" || name == "dry") add(MakeNamed(name, options, model));
    }
    greedy_ = llama_sampler_chain_n(chain_.get()) == 0;
    add(llama_sampler_init_greedy());
    return;
  }
  if (options.mirostat == 0) {
    for (const std::string& name : options.order) add(MakeNamed(name, options, model));
    add(llama_sampler_init_dist(options.seed));
    return;
  }
  add(MakeNamed("penalties", options, model));
  add(llama_sampler_init_temp(options.temperature));
  add(options.mirostat == 1
          ? llama_sampler_init_mirostat(n_vocab_, options.seed, options.mirostat_tau, options.mirostat_eta, 100)
          : llama_sampler_init_mirostat_v2(options.seed, options.mirostat_tau, options.mirostat_eta));
}

llama_token Sampler::Sample(const float* logits) {
  llama_token token = greedy_ ? ArgMax(logits) : SampleFrom(logits, false);
  if (!grammar_) return token;
  // Upstream's way: ask the grammar about the one token first, and about the whole vocabulary only when it says no.
  llama_token_data one = {token, 1, 0};
  llama_token_data_array single = {&one, 1, -1, false};
  llama_sampler_apply(grammar_.get(), &single);
  if (one.logit != kNever) return token;
  return SampleFrom(logits, true);
}

// Two passes that the compiler turns into vector code: the maximum, then where it is.
llama_token Sampler::ArgMax(const float* logits) const {
  float best = kNever;
  for (int32_t i = 0; i < n_vocab_; ++i) best = logits[i] > best ? logits[i] : best;
  for (int32_t i = 0; i < n_vocab_; ++i) {
    if (logits[i] == best) return i;
  }
  return 0;  // every logit is NaN
}

llama_token Sampler::SampleFrom(const float* logits, bool constrained) {
  candidates_.resize(size_t(n_vocab_));
  for (int32_t i = 0; i < n_vocab_; ++i) {
    candidates_[size_t(i)] = {i, std::isnan(logits[i]) ? kNever : logits[i], 0};
  }
  llama_token_data_array candidates = {candidates_.data(), candidates_.size(), -1, false};
  if (constrained) {
    llama_sampler_apply(grammar_.get(), &candidates);
    const bool any = std::any_of(candidates.data, candidates.data + candidates.size,
                                 [](const llama_token_data& candidate) { return candidate.logit != kNever; });
    if (!any) return llama_vocab_eos(vocab_);  // the grammar allows nothing more: the text ends here
  }
  llama_sampler_apply(chain_.get(), &candidates);
  if (candidates.selected < 0 || size_t(candidates.selected) >= candidates.size) return ArgMax(logits);
  return candidates.data[candidates.selected].id;
}

void Sampler::Accept(llama_token token) {
  if (grammar_) llama_sampler_accept(grammar_.get(), token);
  llama_sampler_accept(chain_.get(), token);
}

void Sampler::AcceptPrompt(const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) llama_sampler_accept(chain_.get(), token);
}

void Sampler::AcceptGrammar(const std::vector<int32_t>& tokens) {
  if (!grammar_) return;
  for (const int32_t token : tokens) llama_sampler_accept(grammar_.get(), token);
}

TokenLogprobs Sampler::Logprobs(const float* logits, llama_token token, int32_t top) const {
  float most = kNever;
  for (int32_t i = 0; i < n_vocab_; ++i) most = std::max(most, logits[i]);
  double sum = 0;
  for (int32_t i = 0; i < n_vocab_; ++i) sum += std::exp(double(logits[i]) - most);
  const double log_sum = double(most) + std::log(sum);
  const auto entry = [&](llama_token id) {
    return TokenLogprob{id, float(logits[id] - log_sum), TokenBytes(vocab_, id, true)};
  };
  TokenLogprobs result{entry(token), {}};
  const size_t count = size_t(std::clamp(top, 0, n_vocab_));
  if (count == 0) return result;
  std::vector<llama_token> order(static_cast<size_t>(n_vocab_));
  for (int32_t i = 0; i < n_vocab_; ++i) order[size_t(i)] = i;
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(count), order.end(),
                    [logits](llama_token a, llama_token b) { return logits[a] > logits[b]; });
  for (size_t i = 0; i < count; ++i) result.top.push_back(entry(order[i]));
  return result;
}

}  // namespace sotto
