#include "engine/quantizer.h"

#include <llama.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/log.h"

namespace sotto {
namespace {

// Of tensor rows in memory at once; upstream's default is 8 GiB.
constexpr size_t kMostBuffered = size_t(256) << 20;

llama_model_kv_override Override(const std::string& key) {
  llama_model_kv_override entry = {};
  std::snprintf(entry.key, sizeof entry.key, "%s", key.c_str());
  return entry;
}

// Ended by one without a key, as upstream wants it.
std::vector<llama_model_kv_override> Overrides(const QuantizeOptions& options) {
  std::vector<llama_model_kv_override> entries;
  for (const auto& [key, value] : options.texts) {
    entries.push_back(Override(key));
    entries.back().tag = LLAMA_KV_OVERRIDE_TYPE_STR;
    std::snprintf(entries.back().val_str, sizeof entries.back().val_str, "%s", value.c_str());
  }
  for (const auto& [key, value] : options.counts) {
    entries.push_back(Override(key));
    entries.back().tag = LLAMA_KV_OVERRIDE_TYPE_INT;
    entries.back().val_i64 = value;
  }
  entries.push_back({});
  return entries;
}

// "[  12/ 272] blk.0.attn_k.weight - [  576,   192,     1,     1], type =    f16, ": the elements of the tensor that begins; 0: another line.
double ElementsOf(const char* line) {
  int number = 0, count = 0;
  if (std::sscanf(line, "[%d/%d]", &number, &count) != 2) return 0;
  const char* shape = std::strstr(line, " - [");
  long long ne[4] = {1, 1, 1, 1};
  if (!shape || std::sscanf(shape, " - [%lld, %lld, %lld, %lld", &ne[0], &ne[1], &ne[2], &ne[3]) < 1) return 0;
  return double(ne[0]) * double(ne[1]) * double(ne[2]) * double(ne[3]);
}

[[noreturn]] void Fail(std::string reason) {
  const std::string marker = "failed to quantize: ";
  if (const size_t at = reason.find(marker); at != std::string::npos) reason = reason.substr(at + marker.size());
  const auto says = [&](const char* text) { return reason.find(text) != std::string::npos; };
  if (says("requantizing from type")) {
    throw Error(ErrorCode::kOptionInvalid,
                "Expected a model in F32, F16 or BF16, or options.allowRequantize, which costs quality: " + reason);
  }
  if (says("requires an imatrix") || says("Missing importance matrix")) {
    throw Error(ErrorCode::kOptionInvalid,
                "Expected options.imatrix, without which this type makes no sense: " + reason);
  }
  if (says("imatrix"))
    throw Error(ErrorCode::kImatrixInvalid, "Expected an importance matrix of this model: " + reason);
  if (says("iostream")) throw Error(ErrorCode::kDisk, "Expected to write the model: is the disk full? " + reason);
  if (says("unknown model architecture"))
    throw Error(ErrorCode::kModelUnsupported, reason + ". A newer sotto may know it");
  throw Error(ErrorCode::kQuantizeFailed, "The model could not be quantised: " + reason);
}

}  // namespace

void Quantize(const QuantizeOptions& options, const std::function<void(float)>& report) {
  const std::vector<llama_model_kv_override> overrides = Overrides(options);
  std::vector<llama_model_imatrix_data> importance;
  for (const Importance& each : options.importance) {
    importance.push_back({each.tensor.c_str(), each.values.data(), each.values.size()});
  }
  importance.push_back({});

  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = options.threads;
  params.ftype = static_cast<llama_ftype>(options.file_type);
  if (options.output_tensor_type >= 0) params.output_tensor_type = static_cast<ggml_type>(options.output_tensor_type);
  if (options.token_embedding_type >= 0)
    params.token_embedding_type = static_cast<ggml_type>(options.token_embedding_type);
  params.allow_requantize = options.allow_requantize;
  params.quantize_output_tensor = !options.leave_output_tensor;
  params.pure = options.pure;
  params.keep_split = options.keep_split;
  params.max_buf_size = kMostBuffered;
  if (!options.importance.empty()) params.imatrix = importance.data();
  if (overrides.size() > 1) params.kv_overrides = overrides.data();

  // Nothing else that upstream does says how far it has come.
  double done = 0, current = 0;
  const LogListener listener([&](const char* line) {
    const double elements = ElementsOf(line);
    if (elements <= 0) return;
    done += current;
    current = elements;
    if (options.elements > 0) report(float(std::min(1.0, done / options.elements)));
  });
  const LogCapture log;
  if (llama_model_quantize(options.input.c_str(), options.output.c_str(), &params) != 0) Fail(log.text());
  report(1);
}

}  // namespace sotto
