// context.h: makes a llama_context, and one as the scheduler wants it, for the model and for its draft model: many sequences that
// share the cells of one KV cache.
#pragma once

#include <llama-cpp.h>

#include <string>

#include "engine/model.h"
#include "engine/scheduler.h"

namespace sotto {

// Throws Error(kModelMemory): `failure`, and upstream's reason.
llama_context_ptr OpenContext(const Model& model, const llama_context_params& params, const std::string& failure);

// Throws Error(kModelMemory).
llama_context_ptr MakeContext(const Model& model, const SchedulerOptions& options, ggml_abort_callback abort,
                              void* abort_data);

// Rows of one step whose logits can be had: one a sequence, and drafts where not everybody needs one.
uint32_t MostOutputs(const SchedulerOptions& options);

}  // namespace sotto
