// evaluate.h: evaluate() and importance() as lib/native.ts declares them.
#pragma once

#include "binding/napi-setup.h"

namespace sotto {

void DefineEvaluate(Napi::Env env, Napi::Object exports);

}  // namespace sotto
