// integrity.h: hashFile()
#pragma once

#include "binding/napi-setup.h"

namespace sotto {

void DefineIntegrity(Napi::Env env, Napi::Object exports);

}  // namespace sotto
