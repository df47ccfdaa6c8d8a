// evaluator.h: how well a model foretells a text, alone or beside another model. Contexts of their own on weights that may be in use elsewhere;
// computes on the thread that calls, in turns with everybody else on the pool.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/model.h"
#include "engine/text-reader.h"

namespace sotto {

// A mean over all scored tokens and its standard error.
struct Estimate {
  double value = 0;
  double error = 0;
};

struct Evaluation {
  int64_t tokens = 0;  // of the text
  int64_t scored = 0;
  int32_t chunks = 0;
  Estimate perplexity;
  // Of two models.
  Estimate other_perplexity;
  Estimate ratio;       // the other's by the first's
  Estimate divergence;  // KL(first || other), nats
  double divergence_p99 = 0;
  double divergence_max = 0;
  Estimate agreement;  // share of tokens where both find the same one most likely
};

// `other` may be null. `stop` is asked often, on several threads' behalf but one at a time. `report` gets 0…1.
// Throws Error(kTextTooShort | kVocabularyMismatch | kModelUnsupported | kModelMemory | kModelChanged |
// kDecodeFailed | kAborted).
Evaluation Evaluate(const ModelPtr& model, const ModelPtr& other, const std::string& text, const TextOptions& options,
                    const std::function<bool()>& stop, const std::function<void(float)>& report);

}  // namespace sotto
