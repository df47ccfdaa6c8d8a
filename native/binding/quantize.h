// quantize.h: quantize() as lib/native.ts declares it.
#pragma once

#include "binding/napi-setup.h"

namespace sotto {

void DefineQuantize(Napi::Env env, Napi::Object exports);

}  // namespace sotto
