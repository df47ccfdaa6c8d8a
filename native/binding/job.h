// job.h: one piece of work on libuv's pool, and the Promise it settles. Nothing of JavaScript goes with it.
#pragma once

#include <functional>

#include "binding/errors.h"
#include "binding/napi-setup.h"

namespace sotto {

// On a libuv thread. What it captures and must not die on the JS thread (weights), it releases itself.
using JobWork = std::function<void()>;
// On the JS thread, after the work succeeded. Raw N-API: the environment may be going.
using JobResult = std::function<napi_value(napi_env)>;
// On the JS thread, last, whatever happened, also when nothing can be settled any more. `failed`: work or result did.
using JobCleanup = std::function<void(bool failed)>;

// Rejects with a coded error when `work` throws.
Napi::Promise RunJob(Napi::Env env, const char* name, JobWork work, JobResult result, JobCleanup cleanup = nullptr);

// The same without a Promise: for work whose outcome leaves by another door. `work` must not throw.
void RunDetached(napi_env env, const char* name, JobWork work);

}  // namespace sotto
