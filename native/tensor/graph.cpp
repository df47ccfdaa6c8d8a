#include "tensor/graph.h"

#include <ggml-backend.h>

#include <algorithm>
#include <utility>

#include "base/cpu-topology.h"
#include "base/error.h"
#include "tensor/gradient-rules.h"
#include "tensor/tensor-info.h"
#include "tensor/value-rules.h"

namespace sotto {
namespace {

// More than ggml makes of one node for its gradients.
constexpr size_t kGradientNodes = 12;

bool IsLeaf(const ggml_tensor* tensor) {
  return tensor->op == GGML_OP_NONE && !(tensor->flags & GGML_TENSOR_FLAG_PARAM);
}

template <typename Function>
Function BackendFunction(ggml_backend_dev_t device, const char* name) {
  return reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), name));
}

// Elements, or multiplications, of a node on average from which on waking another thread for each of them pays.
constexpr double kSharedWork = 50e3;

// What the abort callback of a run knows.
struct Run {
  const std::atomic<bool>& abort;
  const std::function<void(float)>& report;
  size_t done;
  size_t total;
};

bool Step(void* data) {
  Run& run = *static_cast<Run*>(data);
  run.report(float(++run.done) / float(run.total));
  return run.abort;
}

}  // namespace

// Depth first and sources first, as ggml orders them, but without its recursion: chains may be longer than a stack is deep.
void Graph::Expand(ggml_tensor* tensor) {
  context_->arena();
  std::vector<std::pair<ggml_tensor*, int>> open{{tensor, 0}};
  std::vector<ggml_tensor*> added;
  std::unordered_set<const ggml_tensor*> seen{tensor};
  if (members_.contains(tensor)) return;
  while (!open.empty()) {
    auto& [node, source] = open.back();
    if (source == GGML_MAX_SRC) {
      added.push_back(node);
      open.pop_back();
      continue;
    }
    ggml_tensor* next = node->src[source++];
    if (next && !members_.contains(next) && seen.insert(next).second) open.push_back({next, 0});
  }
  if (members_.size() + added.size() > limit_) {
    throw Error(ErrorCode::kGraphFull,
                "Expected at most " + std::to_string(limit_) + " tensors in the graph, received " +
                    std::to_string(members_.size() + added.size()) + ": make it with a larger size");
  }
  for (ggml_tensor* node : added) Add(node);
}

void Graph::Add(ggml_tensor* tensor) {
  if (!members_.insert(tensor).second || IsLeaf(tensor)) return;
  if (tensor->op != GGML_OP_NONE) tensor->flags |= GGML_TENSOR_FLAG_COMPUTE;
  nodes_.push_back(tensor);
}

void Graph::Backward() {
  Arena& arena = context_->arena();
  if (!gradients_.empty()) throw Error(ErrorCode::kGraphGradient, "Expected backward() once, received it again");
  // Anew: what became a parameter, or got another source, after it was added.
  const std::vector<ggml_tensor*> known = std::exchange(nodes_, {});
  members_.clear();
  pieces_.clear();
  prepared_ = 0;
  for (ggml_tensor* node : known) Expand(node);
  CheckGradients(nodes_);
  const size_t capacity = (members_.size() + 1) * kGradientNodes;
  ggml_cgraph* graph = nullptr;
  const Call call("ggml_build_backward_expand", "", {});
  arena.Make(
      ggml_graph_overhead_custom(capacity, true) + capacity * ggml_tensor_overhead(),
      [&](ggml_context* context) {
        graph = ggml_new_graph_custom(context, capacity, true);
        for (ggml_tensor* node : nodes_) ggml_build_forward_expand(graph, node);
        ggml_build_backward_expand(context, graph, nullptr);
      },
      [&](const ggml_tensor* node) { CheckNode(call, node); });
  // Found now, before anybody sees the graph change.
  std::vector<ggml_tensor*> found;
  found.reserve(size_t(ggml_graph_n_nodes(graph)));
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) found.push_back(ggml_graph_node(graph, i));
  if (members_.size() + found.size() > limit_) {
    throw Error(ErrorCode::kGraphFull, "Expected at most " + std::to_string(limit_) +
                                           " tensors in the graph, received " +
                                           std::to_string(members_.size() + found.size()) + " with gradients");
  }
  const std::vector<ggml_tensor*> forward = nodes_;
  for (ggml_tensor* node : found) Add(node);
  for (ggml_tensor* node : forward) {
    ggml_tensor* gradient = ggml_graph_get_grad(graph, node);
    if (!gradient) continue;
    members_.insert(gradient);
    gradients_[node] = gradient;
    if (node->flags & GGML_TENSOR_FLAG_LOSS) {
      const float one = 1;  // of the loss by itself
      ggml_backend_tensor_set(ggml_graph_get_grad_acc(graph, node), &one, 0, sizeof(one));
    }
  }
}

ggml_tensor* Graph::Gradient(const ggml_tensor* tensor) const {
  const auto found = gradients_.find(tensor);
  return found == gradients_.end() ? nullptr : found->second;
}

void Graph::Reset() {
  context_->arena();
  for (const ggml_tensor* node : nodes_) {
    if (node->op != GGML_OP_OPT_STEP_ADAMW) continue;
    for (ggml_tensor* moment : {node->src[2], node->src[3]})
      ggml_backend_tensor_memset(moment, 0, 0, ggml_nbytes(moment));
  }
}

void Graph::Prepare() {
  Arena& arena = context_->arena();
  arena.backend();
  for (size_t begin = prepared_; begin < nodes_.size();) {
    size_t end = begin + 1;
    while (end < nodes_.size() && !HasValueRule(nodes_[end])) ++end;
    ggml_cgraph* graph = nullptr;
    arena.Make(
        ggml_graph_overhead_custom(end - begin, false),
        [&](ggml_context* context) {
          graph = ggml_new_graph_custom(context, end - begin, false);
          for (size_t i = begin; i < end; ++i) ggml_graph_add_node(graph, nodes_[i]);
        },
        [](const ggml_tensor*) {});
    pieces_.push_back({graph, HasValueRule(nodes_[begin]) ? nodes_[begin] : nullptr});
    prepared_ = begin = end;
  }
}

// More threads than there are processors only wait for each other.
int Graph::ChooseThreads(int wanted) const {
  if (wanted > 0) return std::min(wanted, std::max(GetCpuTopology().logical, 1));
  double work = 0;
  for (const ggml_tensor* node : nodes_) {
    const bool product = node->op == GGML_OP_MUL_MAT || node->op == GGML_OP_MUL_MAT_ID || node->op == GGML_OP_OUT_PROD;
    const int summed = node->op == GGML_OP_OUT_PROD ? 1 : 0;
    work += double(ggml_nelements(node)) * (product ? double(node->src[0]->ne[summed]) : 1);
  }
  if (work < kSharedWork * double(nodes_.size())) return 1;
  return std::clamp(GetCpuTopology().physical, 1, GGML_MAX_N_THREADS);
}

void Graph::Compute(int threads, const std::atomic<bool>& abort, const std::function<void(float)>& report) {
  Arena& arena = context_->computing();
  ggml_backend_t backend = arena.backend();
  Run run{abort, report, 0, nodes_.size() + 1};
  const auto set_threads = BackendFunction<ggml_backend_set_n_threads_t>(arena.device(), "ggml_backend_set_n_threads");
  if (set_threads) set_threads(backend, ChooseThreads(threads));
  const auto set_abort =
      BackendFunction<ggml_backend_set_abort_callback_t>(arena.device(), "ggml_backend_set_abort_callback");
  if (set_abort) set_abort(backend, Step, &run);
  try {
    for (const Piece& piece : pieces_) ComputePiece(piece, backend, abort);
  } catch (const std::bad_alloc&) {
    arena.AbandonBackend();
    throw Error(ErrorCode::kTensorMemory, "There is not enough memory for what the device needs beside the tensors");
  }
}

void Graph::ComputePiece(const Piece& piece, ggml_backend_t backend, const std::atomic<bool>& abort) {
  if (piece.looked_at) CheckValues(piece.looked_at);
  const ggml_status status = abort ? GGML_STATUS_ABORTED : ggml_backend_graph_compute(backend, piece.graph);
  if (status == GGML_STATUS_ABORTED || abort) throw Error(ErrorCode::kAborted, "Computing was aborted");
  if (status == GGML_STATUS_SUCCESS) return;
  throw Error(ErrorCode::kGraphFailed,
              std::string(ggml_backend_name(backend)) + " failed to compute: " + ggml_status_to_string(status));
}

}  // namespace sotto
