// value-rules.h: operations that abort, or read elsewhere, over what is inside of a tensor: rows that do not exist, numbers that have no
// order. What is inside is known just before such a node is computed, so a graph stops there and looks.
#pragma once

#include <ggml.h>

namespace sotto {

bool HasValueRule(const ggml_tensor* node);
// Throws Error(kTensorValue). Everything before `node` has been computed.
void CheckValues(const ggml_tensor* node);

}  // namespace sotto
