#include "engine/model.h"

#include <cstring>
#include <new>

#include "base/abort-shield.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

namespace sotto {
namespace {

std::string MetaValue(const llama_model* model, const char* key) {
  const int32_t length = llama_model_meta_val_str(model, key, nullptr, 0);
  if (length < 0) return {};
  std::string value(size_t(length) + 1, '\0');
  llama_model_meta_val_str(model, key, value.data(), value.size());
  value.resize(length);
  return value;
}

using MetaByIndex = int32_t (*)(const llama_model*, int32_t, char*, size_t);
std::string MetaAt(const llama_model* model, int32_t index, MetaByIndex read) {
  const int32_t length = read(model, index, nullptr, 0);
  if (length < 0) return {};
  std::string text(size_t(length) + 1, '\0');
  read(model, index, text.data(), text.size());
  text.resize(length);
  return text;
}

const char* VocabularyType(enum llama_vocab_type type) {
  switch (type) {
    case LLAMA_VOCAB_TYPE_SPM: return "spm";
    case LLAMA_VOCAB_TYPE_BPE: return "bpe";
    case LLAMA_VOCAB_TYPE_WPM: return "wpm";
    case LLAMA_VOCAB_TYPE_UGM: return "ugm";
    case LLAMA_VOCAB_TYPE_RWKV: return "rwkv";
    case LLAMA_VOCAB_TYPE_PLAMO2: return "plamo2";
    default: return "none";
  }
}

ModelInfo ReadInfo(const llama_model* model) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  ModelInfo info;
  info.architecture = MetaValue(model, "general.architecture");
  info.name = MetaValue(model, "general.name");
  char description[128];
  llama_model_desc(model, description, sizeof description);
  info.description = description;
  info.quantisation = llama_ftype_name(llama_model_ftype(model));
  info.parameters = llama_model_n_params(model);
  info.bytes = llama_model_size(model);
  info.context_train = llama_model_n_ctx_train(model);
  info.embedding_length = llama_model_n_embd(model);
  info.layers = llama_model_n_layer(model);
  info.heads = llama_model_n_head(model);
  info.heads_kv = llama_model_n_head_kv(model);
  info.vocabulary = llama_vocab_n_tokens(vocab);
  info.vocabulary_type = VocabularyType(llama_vocab_type(vocab));
  info.bos = llama_vocab_bos(vocab);
  info.eos = llama_vocab_eos(vocab);
  info.eot = llama_vocab_eot(vocab);
  info.recurrent = llama_model_is_recurrent(model);
  info.hybrid = llama_model_is_hybrid(model);
  info.has_encoder = llama_model_has_encoder(model);
  info.has_decoder = llama_model_has_decoder(model);
  const int32_t count = llama_model_meta_count(model);
  for (int32_t i = 0; i < count; ++i) {
    info.metadata.emplace_back(MetaAt(model, i, llama_model_meta_key_by_index),
                               MetaAt(model, i, llama_model_meta_val_str_by_index));
  }
  return info;
}

std::vector<ggml_backend_dev_t> FindDevices(const std::vector<std::string>& names) {
  std::vector<ggml_backend_dev_t> devices;
  for (const std::string& name : names) {
    ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
    if (!device) {
      throw Error(
          ErrorCode::kOptionInvalid,
          "Expected devices to name devices of this machine (see systemInfo().devices), received \"" + name + "\"");
    }
    devices.push_back(device);
  }
  devices.push_back(nullptr);
  return devices;
}

llama_load_mode LoadMode(const ModelOptions& options) {
  if (options.direct_read) return LLAMA_LOAD_MODE_DIRECT_IO;
  if (options.mmap) return options.mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP;
  return options.mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE;
}

// Upstream throws, returns null or logs, depending on where it fails: all three end here as one Error with its reason.
template <typename Action>
auto Explained(ErrorCode code, const std::string& what, const Action& action) {
  const AbortShield shield;
  const LogCapture log;
  std::string reason;
  try {
    if (auto result = action()) return result;
    reason = log.text();
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kModelMemory, what + ": out of memory");
  } catch (const std::exception& exception) {
    reason = exception.what();
  }
  if (reason.find("unknown model architecture") != std::string::npos) {
    code = ErrorCode::kModelUnsupported;
    reason += ". A newer sotto may know it, or an older model of the same family be what you need";
  }
  if (reason.find("unable to allocate") != std::string::npos) code = ErrorCode::kModelMemory;
  throw Error(code, what + (reason.empty() ? "" : ": " + reason));
}

struct LoadProgress {
  const std::atomic<bool>& abort;
  const std::function<void(float)>& report;
  MappedFiles& mapped;
  bool found = false;  // what is mapped
};

bool OnProgress(float fraction, void* data) {
  auto* progress = static_cast<LoadProgress*>(data);
  if (progress->abort) return false;
  if (!std::exchange(progress->found, true)) progress->mapped.Find();  // before the first weight is read
  if (progress->report) progress->report(fraction);
  return true;
}

// Where weights are packed, they are what computing reads, and of the model's own file a row of the embedding a token.
void Prefetch(const ModelOptions& options, const KernelInfo& kernels) {
  const bool packed = kernels.weights == "file";
  if (options.prefetch == 0) {
    for (const std::string& path : options.paths) MappedFiles::LetGo(path);
    if (packed) MappedFiles::LetGo(options.packed_path);
  } else if (options.prefetch == 1 && packed) {
    MappedFiles::Bring(options.packed_path);
  } else if (options.prefetch == 1) {
    for (const std::string& path : options.paths) MappedFiles::Bring(path);
  }
}

}  // namespace

std::shared_ptr<const Model> Model::Load(const ModelOptions& options, const std::atomic<bool>& abort,
                                         const std::function<void(float)>& progress) {
  std::vector<ggml_backend_dev_t> devices;
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = options.gpu_layers;
  params.load_mode = LoadMode(options);
  params.check_tensors = options.check_tensors;
  if (!options.devices.empty()) {
    devices = FindDevices(options.devices);
    params.devices = devices.data();
  }
  std::vector<std::string> files = options.paths;
  if (!options.packed_path.empty()) files.push_back(options.packed_path);
  auto mapped = std::make_unique<MappedFiles>(std::move(files));
  LoadProgress state{abort, progress, *mapped};
  params.progress_callback = OnProgress;
  params.progress_callback_user_data = &state;

  std::shared_ptr<Model> model(new Model, [](const Model* closed) {
    delete closed;
    ReturnFreedMemory();
  });
  const auto load = [&] {
    if (options.paths.size() == 1) {
      return llama_model_ptr(llama_model_load_from_file(options.paths[0].c_str(), params));
    }
    std::vector<const char*> paths;
    for (const std::string& path : options.paths) paths.push_back(path.c_str());
    return llama_model_ptr(llama_model_load_from_splits(paths.data(), paths.size(), params));
  };
  KernelUse kernels(options.upstream_kernels, options.packed_path, options.prefetch != 0);
  try {
    model->model_ = Explained(ErrorCode::kModelLoad, "Could not load the model", load);
  } catch (const Error&) {
    if (abort) throw Error(ErrorCode::kAborted, "Loading was aborted");
    throw;
  }
  if (abort) throw Error(ErrorCode::kAborted, "Loading was aborted");

  KernelInfo kernel_info = kernels.Loaded();
  model->mapped_ = std::move(mapped);
  model->mapped_->Find();  // a file of packed weights gets its name in the end
  if (model->damaged()) throw Error(ErrorCode::kModelChanged, model->DamageMessage());
  Prefetch(options, kernel_info);
  ReturnFreedMemory();  // the loader's copy of the metadata
  for (const AdapterOptions& adapter : options.adapters) {
    model->adapters_.push_back(
        Explained(ErrorCode::kAdapterInvalid, "Could not load the LoRA adapter " + adapter.path,
                  [&] { return llama_adapter_lora_ptr(llama_adapter_lora_init(model->get(), adapter.path.c_str())); }));
    model->adapter_scales_.emplace_back(model->adapters_.back().get(), adapter.scale);
  }
  model->info_ = ReadInfo(model->get());
  model->info_.upstream_kernels = options.upstream_kernels;
  model->info_.kernels = std::move(kernel_info);
  model->chat_format_ = std::make_unique<ChatFormat>(model->get());
  model->info_.chat_template = model->chat_format_->template_text();
  return model;
}

std::string Model::DamageMessage() const {
  return std::string("Expected ") + damaged() +
         " to stay as it is while it is in use: it was cut short or cannot be read any more. Close the model, see to "
         "the file, load it again";
}

}  // namespace sotto
