#include "engine/sampler.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <queue>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "engine/logits.h"
#include "engine/model.h"
#include "engine/tokenizer.h"

namespace sotto {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLeastTemperature = 1e-6f;
constexpr int32_t kMostLastN = 1 << 20;  // upstream allocates this many entries
constexpr size_t kMostBreakers = 64;     // each is compared with the text of every token of the vocabulary
constexpr auto kLongestGrammarStep = std::chrono::seconds(2);

// What upstream would abort over, or silently compute nonsense from. `name` is the option as JavaScript spells it.
void Expect(bool good, const char* name, const char* expected, double received) {
  if (good) return;
  throw Error(ErrorCode::kOptionInvalid,
              std::string("Expected ") + name + " to be " + expected + ", received " + std::to_string(received));
}

// Bounds are those of lib/sampling.ts or wider; inside them no sampler can overflow a float that started within the bounds of Tame.
void Check(const SamplingOptions& o) {
  const auto within = [](float value, float least, float most) {
    return value >= least && value <= most;
  };  // false for NaN
  Expect(o.order.size() <= 64, "samplers", "at most 64 names", double(o.order.size()));
  Expect(std::isfinite(o.temperature) && o.temperature <= 1e4f, "temperature", "a number up to 10000", o.temperature);
  Expect(within(o.dynatemp_range, 0, 1e4f), "dynatempRange", "from 0 to 10000", o.dynatemp_range);
  Expect(within(o.dynatemp_exponent, 0, 1e4f), "dynatempExponent", "from 0 to 10000", o.dynatemp_exponent);
  Expect(within(o.top_p, 0, 1), "topP", "from 0 to 1", o.top_p);
  Expect(within(o.min_p, 0, 1), "minP", "from 0 to 1", o.min_p);
  Expect(within(o.typical_p, 0, 1), "typicalP", "from 0 to 1", o.typical_p);
  Expect(std::isfinite(o.top_n_sigma), "topNSigma", "finite", o.top_n_sigma);
  Expect(within(o.xtc_probability, 0, 1), "xtcProbability", "from 0 to 1", o.xtc_probability);
  Expect(within(o.xtc_threshold, 0, 1), "xtcThreshold", "from 0 to 1", o.xtc_threshold);
  Expect(within(o.dry_multiplier, 0, 1e6f), "dryMultiplier", "from 0 to 1000000", o.dry_multiplier);
  Expect(within(o.dry_base, 0, 1e6f), "dryBase", "from 0 to 1000000", o.dry_base);
  Expect(o.dry_allowed_length >= 0, "dryAllowedLength", "0 or more", o.dry_allowed_length);
  Expect(o.dry_penalty_last_n >= -1 && o.dry_penalty_last_n <= kMostLastN, "dryPenaltyLastN", "from -1 to 1048576",
         o.dry_penalty_last_n);
  Expect(o.dry_sequence_breakers.size() <= kMostBreakers, "drySequenceBreakers", "at most 64 texts",
         double(o.dry_sequence_breakers.size()));
  Expect(o.mirostat >= 0 && o.mirostat <= 2, "mirostat", "0, 1 or 2", o.mirostat);
  Expect(within(o.mirostat_tau, 1e-6f, 1e6f), "mirostatTau", "positive", o.mirostat_tau);
  Expect(within(o.mirostat_eta, 1e-9f, 1e6f), "mirostatEta", "positive", o.mirostat_eta);
  Expect(o.repeat_last_n >= -1 && o.repeat_last_n <= kMostLastN, "repeatLastN", "from -1 to 1048576", o.repeat_last_n);
  Expect(within(o.repeat_penalty, 1e-6f, 1e6f), "repeatPenalty", "from 0.000001 to 1000000", o.repeat_penalty);
  Expect(within(o.frequency_penalty, -1e6f, 1e6f), "frequencyPenalty", "from -1000000 to 1000000", o.frequency_penalty);
  Expect(within(o.presence_penalty, -1e6f, 1e6f), "presencePenalty", "from -1000000 to 1000000", o.presence_penalty);
}

// Sorted by token; upstream adds the biases of a token that is named twice.
std::vector<std::pair<llama_token, float>> MergedBias(const SamplingOptions& o, const llama_vocab* vocab) {
  const int32_t n_vocab = llama_vocab_n_tokens(vocab);
  std::map<llama_token, float> merged;
  for (const auto& [token, bias] : o.logit_bias) {
    Expect(token >= 0 && token < n_vocab, "logitBias", "keyed by tokens of the vocabulary", token);
    Expect(bias < kInfinity, "logitBias", "finite or -Infinity", bias);  // false for NaN
    merged[token] += bias;
  }
  int32_t suppressed = 0;
  const llama_token* suppress = llama_vocab_get_suppress_tokens(vocab, &suppressed);
  for (int32_t i = 0; i < suppressed; ++i) merged[suppress[i]] = kNever;
  return {merged.begin(), merged.end()};
}

float Biased(float logit, float bias) { return bias == kNever ? kNever : Tame(Tame(logit) + bias); }

bool Penalizes(const SamplingOptions& o) {
  return o.repeat_last_n != 0 && (o.repeat_penalty != 1 || o.frequency_penalty != 0 || o.presence_penalty != 0);
}

// Whether a sampler does anything: one that does not stays out of the chain.
bool Acts(const std::string& name, const SamplingOptions& o) {
  if (name == "penalties") return Penalizes(o);
  if (name == "dry") return o.dry_multiplier > 0;
  if (name == "top_n_sigma") return o.top_n_sigma > 0;
  if (name == "top_k") return o.top_k > 0;
  if (name == "typical_p") return o.typical_p < 1;
  if (name == "top_p") return o.top_p < 1;
  if (name == "min_p") return o.min_p > 0;
  if (name == "xtc") return o.xtc_probability > 0;
  if (name == "temperature") return o.temperature > 0;  // else greedy: the end of the chain sees to it
  throw Error(ErrorCode::kOptionInvalid, "Expected samplers to name known samplers, received \"" + name + "\"");
}

// How many tokens a penalty looks back; -1: as far as the model was trained for.
int32_t LastN(int32_t option, const Model& model) {
  return option < 0 ? std::clamp(model.info().context_train, 1, kMostLastN) : option;
}

llama_sampler* MakeNamed(const std::string& name, const SamplingOptions& o, const Model& model) {
  const llama_vocab* vocab = model.vocab();
  const size_t keep = size_t(std::max(o.min_keep, 0));
  if (!Acts(name, o)) return nullptr;
  if (name == "penalties") {
    return llama_sampler_init_penalties(llama_vocab_n_tokens(vocab), LastN(o.repeat_last_n, model), o.repeat_penalty,
                                        o.frequency_penalty, o.presence_penalty);
  }
  if (name == "dry") {
    std::vector<const char*> breakers;
    for (const std::string& breaker : o.dry_sequence_breakers) breakers.push_back(breaker.c_str());
    return llama_sampler_init_dry(vocab, o.dry_multiplier, o.dry_base, o.dry_allowed_length,
                                  LastN(o.dry_penalty_last_n, model), breakers.data(), breakers.size());
  }
  if (name == "top_n_sigma") return llama_sampler_init_top_n_sigma(o.top_n_sigma);
  if (name == "top_k") return llama_sampler_init_top_k(o.top_k);
  if (name == "typical_p") return llama_sampler_init_typical(o.typical_p, keep);
  if (name == "top_p") return llama_sampler_init_top_p(o.top_p, keep);
  if (name == "min_p") return llama_sampler_init_min_p(o.min_p, keep);
  if (name == "xtc") return llama_sampler_init_xtc(o.xtc_probability, o.xtc_threshold, keep, o.seed);
  return llama_sampler_init_temp_ext(std::max(o.temperature, kLeastTemperature), o.dynatemp_range, o.dynatemp_exponent);
}

// What may be left out before the chain sees it: what its first truncating sampler drops. Samplers before that one must move only
// tokens of the text, or all alike; `window` is how far back they look.
struct Front {
  Truncation truncation;
  int32_t window = 0;
};

Front FrontOf(const SamplingOptions& o, const Model& model) {
  const int32_t few = llama_vocab_n_tokens(model.vocab()) / 64;  // finding more costs more than a sort of all
  int32_t window = 0;
  bool scaled = false;
  for (const std::string& name : o.order) {
    if (!Acts(name, o)) continue;
    if (name == "penalties") {
      window = std::max(window, LastN(o.repeat_last_n, model));
    } else if (name == "dry") {
      window = std::max(window, LastN(o.dry_penalty_last_n, model));
    } else if (name == "temperature" && o.dynatemp_range == 0) {
      scaled = true;  // what was larger is no smaller now, which is all that a top_k asks
    } else if (name == "top_k" && o.top_k <= few) {
      return {Truncation::ToMostLikely(o.top_k), window};
    } else if (name == "min_p" && !scaled && o.min_keep <= 1) {
      return {Truncation::ToShareOfLargest(o.min_p), window};
    } else {
      break;
    }
  }
  return {};
}

}  // namespace

Sampler::Sampler(const Model& model, const SamplingOptions& options, Grammar grammar, bool lenient)
    : vocab_(model.vocab()),
      n_vocab_(llama_vocab_n_tokens(model.vocab())),
      lenient_(lenient),
      bias_(MergedBias(options, model.vocab())),
      grammar_(std::move(grammar)) {
  Check(options);
  llama_sampler_chain_params params = llama_sampler_chain_default_params();
  params.no_perf = true;
  chain_.reset(llama_sampler_chain_init(params));
  const auto add = [this](llama_sampler* sampler) {
    if (sampler) llama_sampler_chain_add(chain_.get(), sampler);
  };
  const auto add_named = [&] {
    const Front front = FrontOf(options, model);
    truncation_ = front.truncation;
    moved_ = RecentTokens(front.window);
    for (const auto& [token, bias] : bias_) moved_.AcceptForGood(token);
    for (const std::string& name : options.order) add(MakeNamed(name, options, model));
  };

  if (options.temperature <= 0) {
    // The other samplers never remove the most likely token.
    const std::set<std::string> reorder = {"penalties", "dry", "typical_p", "xtc"};
    greedy_ = true;
    for (const std::string& name : options.order) greedy_ = !(Acts(name, options) && reorder.contains(name)) && greedy_;
    if (!greedy_) add_named();
    add(llama_sampler_init_greedy());
  } else if (options.mirostat == 0) {
    add_named();
    add(llama_sampler_init_dist(options.seed));
  } else {
    // In place of what truncates, as upstream's common/sampling.cpp does; penalties may stay.
    for (const std::string& name : options.order) {
      if (name == "penalties" || name == "dry") add(MakeNamed(name, options, model));
    }
    add(llama_sampler_init_temp(std::max(options.temperature, kLeastTemperature)));
    add(options.mirostat == 1
            ? llama_sampler_init_mirostat(n_vocab_, options.seed, options.mirostat_tau, options.mirostat_eta, 100)
            : llama_sampler_init_mirostat_v2(options.seed, options.mirostat_tau, options.mirostat_eta));
  }
}

llama_token Sampler::Sample(const float* logits) {
  const llama_token token = greedy_ ? ArgMax(logits) : SampleFrom(logits, false);
  if (!grammar_) return token;
  // Upstream's way: ask the grammar about the one token first, and about the whole vocabulary only when it says no.
  llama_token_data one = {token, 1, 0};
  llama_token_data_array single = {&one, 1, -1, false};
  llama_sampler_apply(grammar_.get(), &single);
  if (one.logit != kNever) return token;
  return SampleFrom(logits, true);
}

llama_token Sampler::ArgMax(const float* logits) const {
  float best = kNever;
  llama_token token = LLAMA_TOKEN_NULL;
  const auto consider = [&](llama_token candidate, float logit) {
    if (logit > best || (logit == best && logit > kNever && candidate < token)) {
      best = logit;
      token = candidate;
    }
  };
  int32_t from = 0;
  for (size_t i = 0; i <= bias_.size(); ++i) {
    const int32_t to = i < bias_.size() ? bias_[i].first : n_vocab_;
    const int32_t largest = LargestOf(logits + from, to - from);
    if (largest >= 0) consider(from + largest, logits[from + largest]);
    from = to + 1;
  }
  for (const auto& [biased, bias] : bias_) consider(biased, Biased(logits[biased], bias));
  return token == LLAMA_TOKEN_NULL ? End(logits) : token;
}

llama_token Sampler::SampleFrom(const float* logits, bool constrained) {
  // What cannot be chosen is left out, not carried along at -infinity: some of upstream's samplers compute NaN from it. A grammar
  // has to see them all: it may forbid every one that the samplers would keep.
  Truncation whole;
  (constrained ? whole : truncation_).Apply(logits, n_vocab_, moved_.counts(), candidates_);
  auto biased = candidates_.begin();
  for (const auto& [token, bias] : bias_) {
    biased = std::lower_bound(biased, candidates_.end(), token,
                              [](const llama_token_data& one, llama_token id) { return one.id < id; });
    if (biased != candidates_.end() && biased->id == token) biased->logit = Biased(biased->logit, bias);
  }
  const auto forbid = [this] {
    std::erase_if(candidates_, [](const llama_token_data& candidate) { return candidate.logit == kNever; });
  };
  if (!bias_.empty()) forbid();
  if (constrained && !candidates_.empty()) {
    llama_token_data_array all = {candidates_.data(), candidates_.size(), -1, false};
    const auto start = std::chrono::steady_clock::now();
    llama_sampler_apply(grammar_.get(), &all);
    if (std::chrono::steady_clock::now() - start > kLongestGrammarStep) {
      throw std::runtime_error("the grammar took more than two seconds for one token: make it less ambiguous");
    }
    forbid();
  }
  if (candidates_.empty()) return End(logits);

  llama_token_data_array candidates = {candidates_.data(), candidates_.size(), -1, false};
  llama_sampler_apply(chain_.get(), &candidates);
  if (candidates.selected < 0 || size_t(candidates.selected) >= candidates.size) {
    throw std::runtime_error("the samplers left no token");
  }
  return candidates.data[candidates.selected].id;
}

// Bias or grammar forbid everything: the text ends here, with whatever the model has to say so.
llama_token Sampler::End(const float* logits) const {
  if (LargestOf(logits, n_vocab_) < 0) throw std::runtime_error("the model's logits are not numbers");
  for (const llama_token token : {llama_vocab_eos(vocab_), llama_vocab_eot(vocab_)}) {
    if (token != LLAMA_TOKEN_NULL && llama_vocab_is_eog(vocab_, token)) return token;
  }
  for (llama_token token = 0; token < n_vocab_; ++token) {
    if (llama_vocab_is_eog(vocab_, token)) return token;
  }
  throw std::runtime_error("no token can be chosen, and the model has none to end with");
}

void Sampler::Accept(llama_token token) {
  AcceptInGrammar(token);
  AcceptInChain(token);
}

void Sampler::AcceptInChain(llama_token token) {
  llama_sampler_accept(chain_.get(), token);
  moved_.Accept(token);
}

void Sampler::AcceptInGrammar(llama_token token) {
  // Upstream aborts the process when a text ends where its grammar does not; an end changes nothing in a grammar.
  if (!grammar_ || llama_vocab_is_eog(vocab_, token)) return;
  const auto start = std::chrono::steady_clock::now();
  try {
    llama_sampler_accept(grammar_.get(), token);
  } catch (const std::exception&) {
    // Upstream's state is unusable now: asking it again would abort.
    grammar_.reset();
    if (!lenient_) throw;
  }
  if (std::chrono::steady_clock::now() - start > kLongestGrammarStep) {
    throw std::runtime_error("the grammar took more than two seconds for one token: make it less ambiguous");
  }
}

void Sampler::AcceptPrompt(const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) AcceptInChain(token);
}

void Sampler::AcceptGrammar(const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) AcceptInGrammar(token);
}

TokenLogprobs Sampler::Logprobs(const float* logits, llama_token token, int32_t top) const {
  const int32_t largest = LargestOf(logits, n_vocab_);
  const float most = largest < 0 ? 0 : Tame(logits[largest]);
  double sum = 0;
  for (int32_t i = 0; i < n_vocab_; ++i) {
    const float below = Tame(logits[i]) - most;
    if (below > -40) sum += std::exp(below);  // less is nothing beside the 1 of the largest
  }
  const double log_sum = double(most) + std::log(std::max(sum, 1e-30));
  const auto entry = [&](llama_token id) {
    return TokenLogprob{id, float(Tame(logits[id]) - log_sum), TokenBytes(vocab_, id, true)};
  };
  TokenLogprobs result{entry(token), {}};
  const size_t count = size_t(std::clamp(top, 0, n_vocab_));
  if (count == 0) return result;
  // The `count` best so far, worst on top; of equals the smaller token is better.
  using Ranked = std::pair<float, llama_token>;  // (logit, -token)
  std::priority_queue<Ranked, std::vector<Ranked>, std::greater<>> best;
  for (int32_t i = 0; i < n_vocab_; ++i) {
    const Ranked ranked{Tame(logits[i]), -i};
    if (best.size() < count) {
      best.push(ranked);
    } else if (ranked > best.top()) {
      best.pop();
      best.push(ranked);
    }
  }
  result.top.reserve(count);
  for (; !best.empty(); best.pop()) result.top.push_back(entry(-best.top().second));
  std::reverse(result.top.begin(), result.top.end());
  return result;
}

}  // namespace sotto
