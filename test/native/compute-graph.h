// compute-graph.h: a graph on ggml's CPU backend, by its own threads or by one of them and a crew.
#pragma once

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include "backends/cpu-kernels/cpu-kernels.h"
#include "engine/crew.h"

// `threads` of ggml's pool; or, below zero, a crew of as many.
inline void ComputeGraph(ggml_cgraph* graph, int threads) {
  const ggml_backend_ptr backend(ggml_backend_cpu_init());
  ggml_backend_cpu_set_n_threads(backend.get(), threads < 0 ? 1 : threads);
  if (threads > 0) {
    EXPECT_EQ(ggml_backend_graph_compute(backend.get(), graph), GGML_STATUS_SUCCESS);
    return;
  }
  sotto::Crew crew(-threads, 1);
  const auto run = [](void* with, int64_t pieces, sotto::Crew::Work work, void* data) {
    static_cast<sotto::Crew*>(with)->Run(pieces, work, data);
  };
  ggml_backend_cpu_kernels_crew(run, &crew, crew.size());
  EXPECT_EQ(ggml_backend_graph_compute(backend.get(), graph), GGML_STATUS_SUCCESS);
  ggml_backend_cpu_kernels_crew(nullptr, nullptr, 1);
}
