// event-pipe.h: scheduler → JavaScript. Any thread pushes; the JS thread gets everything that has gathered in one call,
// as a flat array [id, kind, payload, …]. One wake-up while JS is not awake, however many events: never one a token a
// sequence.
//
// Rules of its thread-safe function:
//   1. unref'd at birth, ref'd while requests are in flight: an idle model does not keep the process alive
//   2. with env == nullptr only free
//   3. after it is finalized or says napi_closing it is never touched again; `mutex_` orders the two
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "binding/napi-setup.h"
#include "engine/event.h"

namespace sotto {

class EventPipe {
 public:
  // `on_end` hears on the JS thread of every request whose last event has been delivered.
  static std::shared_ptr<EventPipe> Create(Napi::Env env, Napi::Function on_events,
                                           std::function<void(RequestId)> on_end);

  void Push(std::vector<Event>&& events);  // any thread
  void Begin(napi_env env, RequestId id);  // JS thread: a request is in flight
  bool InFlight(RequestId id) const { return in_flight_.contains(id); }
  void Close();  // JS thread: no more requests will begin

 private:
  EventPipe() = default;
  static void Deliver(napi_env env, napi_value callback, void* context, void* data);
  static void Finalized(napi_env env, void* data, void* hint);
  void End(napi_env env, RequestId id);
  void ReleaseWhenDone();

  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;  // null: finalized (rule 3)
  std::vector<Event> pending_;
  bool awake_ = false;  // a wake-up is on its way

  // JS thread only
  std::function<void(RequestId)> on_end_;
  std::unordered_set<RequestId> in_flight_;
  bool closing_ = false;
};

}  // namespace sotto
