#include "binding/request-args.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "binding/args.h"

namespace sotto {
namespace {

template <typename Value, size_t count>
Value Named(const std::array<std::pair<const char*, Value>, count>& table, const std::string& name,
            const char* option) {
  std::string names;
  for (const auto& [known, value] : table) {
    if (name == known) return value;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw Error(ErrorCode::kOptionInvalid,
              std::string("Expected ") + option + " to be one of " + names + ", received \"" + name + "\"");
}

// Tokens a step, sequences, requests waiting: small enough that the engine may add them up.
constexpr int32_t kMostTogether = 1 << 20;

constexpr std::array<std::pair<const char*, ggml_type>, 9> kCacheTypes = {{
    {"f16", GGML_TYPE_F16},
    {"f32", GGML_TYPE_F32},
    {"bf16", GGML_TYPE_BF16},
    {"q8_0", GGML_TYPE_Q8_0},
    {"q4_0", GGML_TYPE_Q4_0},
    {"q4_1", GGML_TYPE_Q4_1},
    {"iq4_nl", GGML_TYPE_IQ4_NL},
    {"q5_0", GGML_TYPE_Q5_0},
    {"q5_1", GGML_TYPE_Q5_1},
}};
constexpr std::array<std::pair<const char*, int32_t>, 6> kPoolings = {{
    {"auto", LLAMA_POOLING_TYPE_UNSPECIFIED},
    {"none", LLAMA_POOLING_TYPE_NONE},
    {"mean", LLAMA_POOLING_TYPE_MEAN},
    {"cls", LLAMA_POOLING_TYPE_CLS},
    {"last", LLAMA_POOLING_TYPE_LAST},
    {"rank", LLAMA_POOLING_TYPE_RANK},
}};

constexpr std::array<std::pair<const char*, SpeculationMode>, 3> kSpeculations = {{
    {"off", SpeculationMode::kOff},
    {"auto", SpeculationMode::kAuto},
    {"always", SpeculationMode::kAlways},
}};

SamplingOptions ReadSampling(const Napi::Object& o) {
  SamplingOptions sampling;
  sampling.order = ReadStrings(o.Get("order"), "samplers");
  sampling.seed = ReadUnsigned(o.Get("seed"), "seed");
  sampling.min_keep = IntField(o, "minKeep");
  sampling.temperature = FloatField(o, "temperature");
  sampling.dynatemp_range = FloatField(o, "dynatempRange");
  sampling.dynatemp_exponent = FloatField(o, "dynatempExponent");
  sampling.top_k = IntField(o, "topK");
  sampling.top_p = FloatField(o, "topP");
  sampling.min_p = FloatField(o, "minP");
  sampling.typical_p = FloatField(o, "typicalP");
  sampling.top_n_sigma = FloatField(o, "topNSigma");
  sampling.xtc_probability = FloatField(o, "xtcProbability");
  sampling.xtc_threshold = FloatField(o, "xtcThreshold");
  sampling.dry_multiplier = FloatField(o, "dryMultiplier");
  sampling.dry_base = FloatField(o, "dryBase");
  sampling.dry_allowed_length = IntField(o, "dryAllowedLength");
  sampling.dry_penalty_last_n = IntField(o, "dryPenaltyLastN");
  sampling.dry_sequence_breakers = ReadStrings(o.Get("drySequenceBreakers"), "drySequenceBreakers");
  sampling.mirostat = IntField(o, "mirostat");
  sampling.mirostat_tau = FloatField(o, "mirostatTau");
  sampling.mirostat_eta = FloatField(o, "mirostatEta");
  sampling.repeat_last_n = IntField(o, "repeatLastN");
  sampling.repeat_penalty = FloatField(o, "repeatPenalty");
  sampling.frequency_penalty = FloatField(o, "frequencyPenalty");
  sampling.presence_penalty = FloatField(o, "presencePenalty");
  const std::vector<int32_t> tokens = ReadInts(o.Get("logitBiasTokens"), "logitBias");
  const Napi::Value values = o.Get("logitBiasValues");
  if (!values.IsTypedArray() || values.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      values.As<Napi::TypedArray>().ElementLength() != tokens.size()) {
    throw Error(ErrorCode::kOptionInvalid, "Expected logitBias to have as many values as tokens");
  }
  for (size_t i = 0; i < tokens.size(); ++i)
    sampling.logit_bias.emplace_back(tokens[i], values.As<Napi::Float32Array>()[i]);
  return sampling;
}

RequestOptions ReadCommon(const Napi::Object& request) {
  RequestOptions options;
  options.id = ReadUnsigned(request.Get("id"), "id");
  options.principal = StringField(request, "principal");
  return options;
}

}  // namespace

ModelOptions ReadModelOptions(const Napi::Object& o) {
  ModelOptions options;
  options.paths = ReadStrings(o.Get("paths"), "paths");
  if (options.paths.empty()) throw Error(ErrorCode::kOptionInvalid, "Expected at least one path");
  options.gpu_layers = IntField(o, "gpuLayers", -1);
  options.devices = ReadStrings(o.Get("devices"), "devices");
  options.mmap = BoolField(o, "mmap");
  options.mlock = BoolField(o, "mlock");
  options.direct_read = BoolField(o, "directRead");
  options.prefetch = IntField(o, "prefetch", -1, 1);
  options.check_tensors = BoolField(o, "checkTensors");
  options.upstream_kernels = BoolField(o, "upstreamKernels");
  options.packed_path = StringField(o, "packedPath");
  const Napi::Value adapters = o.Get("adapters");
  if (!adapters.IsArray()) throw Error(ErrorCode::kOptionInvalid, "Expected adapters to be an array");
  const Napi::Array list = adapters.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Object adapter = ReadObject(list.Get(i), "adapters");
    options.adapters.push_back({StringField(adapter, "path"), FloatField(adapter, "scale")});
  }
  return options;
}

std::optional<ModelOptions> ReadDraftOptions(const Napi::Object& o) {
  std::vector<std::string> paths = ReadStrings(o.Get("draftPaths"), "draft");
  if (paths.empty()) return std::nullopt;
  ModelOptions options = ReadModelOptions(o);
  options.paths = std::move(paths);
  options.packed_path = StringField(o, "draftPackedPath");
  options.adapters.clear();  // of the model
  return options;
}

ThreadOptions ReadThreads(const Napi::Object& o) {
  ThreadOptions threads;
  threads.generation = IntField(o, "generation", 1, GGML_MAX_N_THREADS);
  threads.prompt = IntField(o, "prompt", 1, GGML_MAX_N_THREADS);
  threads.affinity = ReadInts(o.Get("affinity"), "threads.affinity");
  threads.priority = IntField(o, "priority", GGML_SCHED_PRIO_LOW, GGML_SCHED_PRIO_REALTIME);
  threads.poll = IntField(o, "poll", 0, 100);
  return threads;
}

SchedulerOptions ReadSchedulerOptions(const Napi::Object& o) {
  SchedulerOptions options;
  options.context_size = IntField(o, "contextSize", 0);
  options.batch_size = IntField(o, "batchSize", 1, kMostTogether);
  options.sequences = IntField(o, "sequences", 1, kMostTogether);
  options.cached_sequences = IntField(o, "cachedSequences", 0, kMostTogether);
  options.queue_limit = IntField(o, "queueLimit", 1, kMostTogether);
  options.type_k = Named(kCacheTypes, StringField(o, "cacheTypeK"), "cacheType");
  options.type_v = Named(kCacheTypes, StringField(o, "cacheTypeV"), "cacheType");
  options.flash_attention = IntField(o, "flashAttention", -1, 1);
  options.offload_kv = BoolField(o, "offloadKv");
  options.prefix_cache = BoolField(o, "prefixCache");
  options.pooling = Named(kPoolings, StringField(o, "pooling"), "pooling");
  options.speculation = Named(kSpeculations, StringField(o, "speculation"), "speculation");
  options.draft_tokens = IntField(o, "draftTokens", 1, kMostDrafted);
  options.threads = ReadThreads(ReadObject(o.Get("threads"), "threads"));
  return options;
}

ChatInput ReadChatInput(const Napi::Object& o) {
  ChatInput input;
  input.messages_json = StringField(o, "messages");
  input.tools_json = StringField(o, "tools");
  input.tool_choice = StringField(o, "toolChoice");
  input.parallel_tool_calls = BoolField(o, "parallelToolCalls");
  input.add_generation_prompt = BoolField(o, "addGenerationPrompt");
  input.enable_thinking = BoolField(o, "enableThinking");
  input.template_override = StringField(o, "template");
  input.template_kwargs_json = StringField(o, "templateArguments");
  input.json_schema = StringField(o, "jsonSchema");
  input.grammar = StringField(o, "grammar");
  return input;
}

RequestOptions ReadCompletion(const Napi::Object& o) {
  RequestOptions options = ReadCommon(o);
  CompletionOptions& completion = options.completion.emplace();
  if (o.Get("chat").IsObject()) {
    completion.chat = ReadChatInput(o.Get("chat").As<Napi::Object>());
  } else if (!o.Get("tokens").IsUndefined()) {
    completion.tokens = ReadInts(o.Get("tokens"), "prompt");
  } else {
    completion.prompt = StringField(o, "prompt");
  }
  completion.add_special = BoolField(o, "addSpecial");
  completion.parse_special = BoolField(o, "parseSpecial");
  completion.max_tokens = IntField(o, "maxTokens", -1);
  completion.ignore_eos = BoolField(o, "ignoreEos");
  completion.overflow = BoolField(o, "shift") ? Overflow::kShift : Overflow::kError;
  completion.stop = ReadStrings(o.Get("stop"), "stop");
  completion.logprobs = IntField(o, "logprobs", -1);
  completion.reuse_prefix = BoolField(o, "reusePrefix");
  completion.context = ReadUnsigned(o.Get("context"), "context");
  completion.grammar = StringField(o, "grammar");
  completion.json_schema = StringField(o, "jsonSchema");
  const std::string speculation = StringField(o, "speculation");
  if (speculation != "default") completion.speculation = Named(kSpeculations, speculation, "speculation");
  completion.sampling = ReadSampling(ReadObject(o.Get("sampling"), "sampling"));
  return options;
}

RequestOptions ReadEmbedding(const Napi::Object& o) {
  RequestOptions options = ReadCommon(o);
  EmbeddingOptions& embedding = options.embedding.emplace();
  embedding.task = BoolField(o, "rerank") ? EmbeddingTask::kRerank : EmbeddingTask::kEmbed;
  embedding.query = StringField(o, "query");
  embedding.inputs = ReadStrings(o.Get("inputs"), "inputs");
  embedding.normalize = BoolField(o, "normalize");
  embedding.truncate = BoolField(o, "truncate");
  return options;
}

RequestOptions ReadPin(const Napi::Object& o) {
  RequestOptions options;
  options.id = ReadUnsigned(o.Get("id"), "id");
  const Napi::Value chats = o.Get("chats");
  if (!chats.IsArray()) throw Error(ErrorCode::kOptionInvalid, "Expected chats to be an array");
  PinOptions& pin = options.pin.emplace();
  const Napi::Array list = chats.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) pin.chats.push_back(ReadChatInput(ReadObject(list.Get(i), "chats")));
  return options;
}

}  // namespace sotto
