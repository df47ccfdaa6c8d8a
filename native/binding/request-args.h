// request-args.h: the option objects of lib/native.ts into the engine's plain structs.
#pragma once

#include <optional>

#include "binding/napi-setup.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/scheduler.h"

namespace sotto {

ModelOptions ReadModelOptions(const Napi::Object& options);
// The draft model, loaded as the model is; none when no path is given.
std::optional<ModelOptions> ReadDraftOptions(const Napi::Object& options);
SchedulerOptions ReadSchedulerOptions(const Napi::Object& options);
ThreadOptions ReadThreads(const Napi::Object& threads);
ChatInput ReadChatInput(const Napi::Object& input);
RequestOptions ReadCompletion(const Napi::Object& request);
RequestOptions ReadEmbedding(const Napi::Object& request);
RequestOptions ReadPin(const Napi::Object& request);

}  // namespace sotto
