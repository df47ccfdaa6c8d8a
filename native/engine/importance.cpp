#include "engine/importance.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/error.h"
#include "base/log.h"

namespace sotto {
namespace {

// A copy of weights on a device is named "<device>#<tensor>#<number>".
std::string_view NameOf(const ggml_tensor& weights) {
  std::string_view name = weights.name;
  if (const size_t from = name.find('#'); from != name.npos) {
    name.remove_prefix(from + 1);
    name = name.substr(0, name.find('#'));
  }
  return name;
}

class Collector {
 public:
  static bool Watch(ggml_tensor* node, bool ask, void* self) {
    if (ask) return Wants(*node);
    static_cast<Collector*>(self)->Add(*node);
    return true;
  }

  std::map<std::string, InputSums> Take() { return std::move(sums_); }

 private:
  // Products with the weights of layers. The keys of attention and an adapter's matrices have other names.
  static bool Wants(const ggml_tensor& node) {
    if (node.op != GGML_OP_MUL_MAT && node.op != GGML_OP_MUL_MAT_ID) return false;
    const std::string_view name = NameOf(*node.src[0]), end = ".weight";
    return name.substr(0, 4) == "blk." && name.size() > end.size() && name.substr(name.size() - end.size()) == end &&
           node.src[1]->type == GGML_TYPE_F32 && node.src[1]->nb[0] == sizeof(float);
  }

  void Add(const ggml_tensor& node) {
    const ggml_tensor &weights = *node.src[0], &input = *node.src[1];
    const int64_t columns = input.ne[0], matrices = weights.ne[2] * weights.ne[3];
    InputSums& sums = sums_[std::string(NameOf(weights))];
    sums.squares.resize(size_t(columns * matrices));
    sums.counts.resize(size_t(matrices));
    const char* data = HostData(input, input_);
    const auto add = [&](int64_t matrix, const char* at) {
      const float* x = reinterpret_cast<const float*>(at);
      float* into = sums.squares.data() + matrix * columns;
      for (int64_t i = 0; i < columns; ++i) into[i] += x[i] * x[i];
      sums.counts[size_t(matrix)] += 1;
    };
    if (node.op == GGML_OP_MUL_MAT_ID) {
      // ids: the experts of each row; input: a row for each of them, or one for all.
      const ggml_tensor& ids = *node.src[2];
      const char* experts = HostData(ids, ids_);
      for (int64_t row = 0; row < ids.ne[1]; ++row) {
        for (int64_t k = 0; k < ids.ne[0]; ++k) {
          const int32_t expert =
              *reinterpret_cast<const int32_t*>(experts + size_t(row) * ids.nb[1] + size_t(k) * ids.nb[0]);
          if (expert < 0 || expert >= matrices) continue;
          add(expert, data + size_t(k % input.ne[1]) * input.nb[1] + size_t(row) * input.nb[2]);
        }
      }
      return;
    }
    for (int64_t i3 = 0; i3 < input.ne[3]; ++i3) {
      for (int64_t i2 = 0; i2 < input.ne[2]; ++i2) {
        const int64_t matrix = (i3 % weights.ne[3]) * weights.ne[2] + i2 % weights.ne[2];
        for (int64_t row = 0; row < input.ne[1]; ++row) {
          add(matrix, data + size_t(row) * input.nb[1] + size_t(i2) * input.nb[2] + size_t(i3) * input.nb[3]);
        }
      }
    }
  }

  static const char* HostData(const ggml_tensor& tensor, std::vector<char>& copy) {
    if (ggml_backend_buffer_is_host(tensor.buffer)) return static_cast<const char*>(tensor.data);
    copy.resize(ggml_nbytes(&tensor));
    ggml_backend_tensor_get(&tensor, copy.data(), 0, copy.size());
    return copy.data();
  }

  std::map<std::string, InputSums> sums_;
  std::vector<char> input_, ids_;  // out of a device's memory
};

}  // namespace

TextImportance MeasureImportance(const ModelPtr& model, const std::string& text, const TextOptions& options,
                                 const std::function<bool()>& stop, const std::function<void(float)>& report) {
  const LogCapture log;  // upstream reports an aborted graph as an error
  const TextWindows windows(*model, text, options);
  Collector collector;
  TextReader reader(model, options, stop, Collector::Watch, &collector);
  const int32_t size = options.context_size;
  for (int32_t chunk = 0; chunk < windows.count(); ++chunk) {
    const std::vector<llama_token> window = windows.At(chunk);
    reader.Forget();
    for (int32_t begin = 0; begin < size;) {
      const int32_t end = std::min(begin + reader.rows(), size);
      reader.Read(window, begin, end, true);  // the last layer computes no rows that are not asked for
      begin = end;
      report((float(chunk) + float(end) / float(size)) / float(windows.count()));
    }
  }
  TextImportance found{collector.Take(), windows.count()};
  for (const auto& [tensor, sums] : found.tensors) {
    if (std::all_of(sums.squares.begin(), sums.squares.end(), [](float sum) { return std::isfinite(sum); })) continue;
    throw Error(ErrorCode::kDecodeFailed, "The inputs of " + tensor + " are no numbers");
  }
  return found;
}

}  // namespace sotto
