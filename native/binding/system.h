// system.h: systemInfo() and setLogLevel(), and where the addon lies.
#pragma once

#include <string>

#include "binding/napi-setup.h"

namespace sotto {

void DefineSystem(Napi::Env env, Napi::Object exports);
void PinAddon();
std::string AddonFolder();  // backend modules lie beside the addon

}  // namespace sotto
