// graph.h: which tensors are computed, in which order, and the computing. ggml's own graphs are made of it piece by piece: one ends before every
// node that has to be looked at first (value-rules.h).
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <atomic>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tensor/tensor-context.h"

namespace sotto {

class Graph {
 public:
  // At most `limit` tensors.
  Graph(std::shared_ptr<TensorContext> context, size_t limit) : context_(std::move(context)), limit_(limit) {}

  // Adds `tensor` and what it is computed from. Throws Error(kGraphFull).
  void Expand(ggml_tensor* tensor);
  // Adds what computes the gradients of every parameter, once. Throws Error(kGraphGradient, kGraphFull).
  void Backward();
  // Of a tensor that Backward found one for, or null.
  ggml_tensor* Gradient(const ggml_tensor* tensor) const;
  // Moments of optimiser steps to zero.
  void Reset();

  const std::vector<ggml_tensor*>& nodes() const { return nodes_; }
  const std::shared_ptr<TensorContext>& context() const { return context_; }

  // On the JavaScript thread, before Compute: what that needs is made here.
  void Prepare();
  // On any one thread, after Prepare. `threads`: 0 for as many as there are cores, or one where the nodes are too small to be shared. `report`:
  // how much is done, 0 … 1, after each node. Throws Error(kAborted, kGraphFailed, kTensorMemory, kTensorValue).
  void Compute(int threads, const std::atomic<bool>& abort, const std::function<void(float)>& report);

 private:
  struct Piece {
    ggml_cgraph* graph;
    const ggml_tensor* looked_at;  // before it is computed; null for none
  };
  void Add(ggml_tensor* tensor);
  int ChooseThreads(int wanted) const;
  static void ComputePiece(const Piece& piece, ggml_backend_t backend, const std::atomic<bool>& abort);

  std::shared_ptr<TensorContext> context_;  // outlives the pieces, which lie in its arena
  size_t limit_;
  std::vector<ggml_tensor*> nodes_;                 // parameters and what is computed; in order
  std::unordered_set<const ggml_tensor*> members_;  // leaves too
  std::unordered_map<const ggml_tensor*, ggml_tensor*> gradients_;
  std::vector<Piece> pieces_;
  size_t prepared_ = 0;  // nodes that are in pieces
};

}  // namespace sotto
