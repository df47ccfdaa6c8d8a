// addon.cpp: the door of the addon.
#include "binding/environment.h"

using sotto::Environment;
NODE_API_ADDON(Environment)
