// napi-setup.h: the one way to <napi.h>: the defines come first, once.
#pragma once

#define NAPI_VERSION 8
#define NAPI_CPP_EXCEPTIONS
#define NODE_ADDON_API_DISABLE_DEPRECATED
// Electron's memory cage forbids external buffers: bytes are copied into memory that JavaScript owns.
#define NODE_API_NO_EXTERNAL_BUFFERS_ALLOWED
// A worker that is being terminated cannot be thrown at.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS

#include <napi.h>
