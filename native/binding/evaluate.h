// evaluate.h: evaluate() as lib/native.ts declares it.
#pragma once

#include "binding/napi-setup.h"

namespace sotto {

void DefineEvaluate(Napi::Env env, Napi::Object exports);

}  // namespace sotto
