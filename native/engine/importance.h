// importance.h: how much each input of a model's weights matters on a text: the sums of squares of what goes into every matrix of its
// layers, by which a quantiser weighs its errors. The same sums as upstream's llama-imatrix.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/text-reader.h"

namespace sotto {

struct InputSums {
  std::vector<float> squares;  // a row of inputs for each matrix: a tensor of experts has as many as there are
  std::vector<float> counts;   // rows of the text that went through each matrix
};

struct TextImportance {
  std::map<std::string, InputSums> tensors;
  int32_t chunks = 0;
};

// `stop` and `report` as Evaluate has them.
// Throws Error(kTextTooShort | kModelUnsupported | kModelMemory | kModelChanged | kDecodeFailed | kAborted).
TextImportance MeasureImportance(const ModelPtr& model, const std::string& text, const TextOptions& options,
                                 const std::function<bool()>& stop, const std::function<void(float)>& report);

}  // namespace sotto
