#include "engine/context.h"

#include <algorithm>
#include <exception>

#include "base/abort-shield.h"
#include "base/error.h"
#include "base/log.h"

namespace sotto {
namespace {

constexpr int kDefaultContext = 4096;

}  // namespace

llama_context_ptr OpenContext(const Model& model, const llama_context_params& params, const std::string& failure) {
  const AbortShield shield;
  const LogCapture log;
  std::string reason;
  ErrorCode code = ErrorCode::kModelMemory;
  try {
    llama_context_ptr context(llama_init_from_model(model.get(), params));
    if (context) return context;
    reason = log.text();
    // Upstream catches what it throws, and logs it.
    if (reason.find("GGML_ASSERT") != std::string::npos) code = ErrorCode::kModelLoad;
  } catch (const std::exception& exception) {
    reason = exception.what();
  }
  if (reason.find("does not divide n_embd_head") != std::string::npos) {
    throw Error(ErrorCode::kOptionInvalid, "Expected a cacheType whose blocks divide a head of this model: " + reason);
  }
  throw Error(code, failure + (reason.empty() ? std::string() : ": " + reason));
}

uint32_t MostOutputs(const SchedulerOptions& options) {
  // Upstream asserts that no sequence is without one.
  const int32_t sequences = options.sequences + options.cached_sequences;
  return uint32_t(std::max(sequences, options.sequences + kMostDrafted));
}

llama_context_ptr MakeContext(const Model& model, const SchedulerOptions& options, ggml_abort_callback abort,
                              void* abort_data) {
  const int32_t train = model.info().context_train;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = uint32_t(options.context_size > 0 ? options.context_size
                          : train > 0              ? std::min(train, kDefaultContext)
                                                   : kDefaultContext);
  params.n_batch = uint32_t(std::min<int32_t>(options.batch_size, int32_t(params.n_ctx)));
  params.n_ubatch = params.n_batch;  // one graph a step: an abort then never leaves half a batch behind
  params.n_seq_max = uint32_t(options.sequences + options.cached_sequences);
  // By default a whole batch, which sets 100 MB aside for 49k-token vocabularies.
  params.n_outputs_max = MostOutputs(options);
  params.n_threads = options.threads.generation;
  params.n_threads_batch = options.threads.prompt;
  params.flash_attn_type = static_cast<llama_flash_attn_type>(options.flash_attention);
  params.type_k = options.type_k;
  params.type_v = options.type_v;
  params.offload_kqv = options.offload_kv;
  params.kv_unified = true;  // sequences share cells; see PrefixCache
  params.swa_full = true;    // a sliding window forgets prefixes that another sequence may ask for
  params.abort_callback = abort;
  params.abort_callback_data = abort_data;
  params.no_perf = true;
  return OpenContext(
      model, params,
      "Could not make a context of " + std::to_string(params.n_ctx) + " tokens: ask for a smaller contextSize");
}

}  // namespace sotto
