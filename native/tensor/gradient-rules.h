// gradient-rules.h: what ggml_build_backward_expand aborts over, looked for first.
#pragma once

#include <ggml.h>

#include <vector>

namespace sotto {

// `nodes` in the order they are computed. Throws Error(kGraphGradient).
void CheckGradients(const std::vector<ggml_tensor*>& nodes);

}  // namespace sotto
