#include "tensor/tensor-context.h"

#include <cmath>
#include <unordered_set>

#include "tensor/tensor-info.h"

namespace sotto {
namespace {

constexpr double kMostInteger = 9007199254740992.0;  // 2^53

bool IsInteger(double number, double least, double most) {
  return std::trunc(number) == number && number >= least && number <= most;
}

// That each argument fits the C type of its parameter.
void CheckKinds(const Operation& operation, const Call& call) {
  for (size_t i = 0; i < operation.kinds.size(); ++i) {
    const Argument& argument = call.argument(i);
    const std::string name = call.name(i);
    switch (operation.kinds[i]) {
      case 't':
        if (!argument.tensor) call.Fail(ErrorCode::kTensorForeign, name + " to be a tensor of this context");
        break;
      case 'i':
        if (!IsInteger(argument.number, INT32_MIN, INT32_MAX))
          call.Fail(ErrorCode::kOptionInvalid, name + " to be a 32-bit integer");
        break;
      case 'e':
        if (!IsInteger(argument.number, 0, 255))
          call.Fail(ErrorCode::kOptionInvalid, name + " to be one of the documented values");
        break;
      case 'b':
        if (argument.number != 0 && argument.number != 1)
          call.Fail(ErrorCode::kOptionInvalid, name + " to be a boolean");
        break;
      case 'l':
        if (!IsInteger(argument.number, -kMostInteger, kMostInteger))
          call.Fail(ErrorCode::kOptionInvalid, name + " to be an integer");
        break;
      case 'z':
        if (!IsInteger(argument.number, 0, kMostInteger))
          call.Fail(ErrorCode::kOptionInvalid, name + " to be an integer of at least 0");
        break;
      case 's':
      case 'n':
        if (argument.list.size() != 4) call.Fail(ErrorCode::kOptionInvalid, name + " to be four integers");
        break;
      default: break;  // a float may be anything, and what is optional may be missing
    }
  }
}

// Whether `tensor` is computed from `source`, or is it. Every path, without recursion: graphs are deep.
bool DependsOn(const ggml_tensor* tensor, const ggml_tensor* source) {
  std::vector<const ggml_tensor*> open{tensor};
  std::unordered_set<const ggml_tensor*> seen;
  while (!open.empty()) {
    const ggml_tensor* node = open.back();
    open.pop_back();
    if (node == source) return true;
    if (!seen.insert(node).second) continue;
    for (const ggml_tensor* next : node->src) {
      if (next) open.push_back(next);
    }
  }
  return false;
}

}  // namespace

Arena& TensorContext::arena() {
  if (closed_) throw Error(ErrorCode::kTensorClosed, "Expected an open context, received one that was closed");
  if (computing_) {
    throw Error(ErrorCode::kTensorBusy,
                "Expected a context that is not in use, received one of which a graph is being computed: "
                "await compute() first");
  }
  return *arena_;
}

ggml_tensor* TensorContext::NewTensor(ggml_type type, const std::vector<int64_t>& shape) {
  if (shape.empty() || shape.size() > GGML_MAX_DIMS) {
    throw Error(ErrorCode::kTensorShape,
                "Expected a shape of 1 to 4 dimensions, received " + std::to_string(shape.size()));
  }
  if (shape[0] < 1 || shape[0] % ggml_blck_size(type) != 0) {
    throw Error(ErrorCode::kTensorShape, "Expected rows of whole blocks of " + std::to_string(ggml_blck_size(type)) +
                                             " " + TypeName(type) + ", received " + std::to_string(shape[0]));
  }
  ggml_tensor* tensor = nullptr;
  arena().Make(
      ggml_tensor_overhead(),
      [&](ggml_context* context) { tensor = ggml_new_tensor(context, type, int(shape.size()), shape.data()); },
      [](const ggml_tensor*) {});
  return tensor;
}

ggml_tensor* TensorContext::Apply(const Operation& operation, std::vector<Argument> arguments) {
  Arena& arena = this->arena();
  const Call call(operation.name, operation.parameters, std::move(arguments));
  CheckKinds(operation, call);
  operation.rule(call);
  const auto check = [&](const ggml_tensor* node) {
    CheckNode(call, node);
    call.Type(ggml_backend_dev_supports_op(arena.device(), node), "types that the device can compute with");
  };
  ggml_tensor* result = nullptr;
  if (operation.nodes > 0) {
    arena.Make(
        size_t(operation.nodes) * ggml_tensor_overhead(),
        [&](ggml_context* context) { result = operation.build(context, call); }, check);
    return result;
  }
  // It changes its first tensor: the change is taken back when the result is one that cannot be computed.
  ggml_tensor* const changed = call.tensor(0);
  if (call.size() > 1 && call.tensor(1) && DependsOn(call.tensor(1), changed)) {
    call.Fail(ErrorCode::kTensorShape, call.name(1) + " not to be computed from " + call.name(0));
  }
  const ggml_tensor before = *changed;
  operation.build(nullptr, call);
  try {
    check(changed);
  } catch (...) {
    *changed = before;
    throw;
  }
  return changed;
}

void TensorContext::BeginCompute() {
  arena();
  computing_ = true;
}

void TensorContext::EndCompute() {
  computing_ = false;
  if (closed_) arena_.reset();
}

void TensorContext::Close() {
  closed_ = true;
  if (!computing_) arena_.reset();
}

}  // namespace sotto
