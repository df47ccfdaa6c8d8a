#include "binding/job.h"

#include <memory>

namespace sotto {
namespace {

struct Job {
  JobWork work;
  JobResult result;
  JobCleanup cleanup;
  napi_async_work handle = nullptr;
  napi_deferred deferred = nullptr;
  bool failed = false;
  Failure failure;
};

void Execute(napi_env, void* data) {
  Job& job = *static_cast<Job*>(data);
  try {
    job.work();
  } catch (...) {
    job.failed = true;
    job.failure = DescribeException(std::current_exception());
  }
  job.work = nullptr;  // what it held dies here, not on the JS thread
}

void Complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  napi_delete_async_work(env, job->handle);
  if (!job->deferred) return;
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env, &scope);
  // Every status is ignored: in a worker that is being terminated nothing can be settled and nobody waits.
  if (status == napi_cancelled) {
    napi_reject_deferred(env, job->deferred, MakeError(env, ErrorCode::kModelClosed, "The environment is closing"));
  } else if (job->failed) {
    napi_reject_deferred(env, job->deferred, MakeError(env, job->failure.code, job->failure.message));
  } else {
    napi_value value = job->result ? job->result(env) : nullptr;
    napi_value exception = nullptr;
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending) napi_get_and_clear_last_exception(env, &exception);
    if (exception) {
      job->failed = true;
      napi_reject_deferred(env, job->deferred, exception);
    } else {
      if (!value) napi_get_undefined(env, &value);
      napi_resolve_deferred(env, job->deferred, value);
    }
  }
  if (scope) napi_close_handle_scope(env, scope);
  if (job->cleanup) job->cleanup(job->failed || status == napi_cancelled);
}

bool Queue(napi_env env, const char* name, std::unique_ptr<Job> job) {
  napi_value resource = nullptr;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource);
  if (napi_create_async_work(env, nullptr, resource, Execute, Complete, job.get(), &job->handle) != napi_ok)
    return false;
  if (napi_queue_async_work(env, job->handle) != napi_ok) {
    napi_delete_async_work(env, job->handle);
    return false;
  }
  (void)job.release();  // Complete takes it
  return true;
}

}  // namespace

Napi::Promise RunJob(Napi::Env env, const char* name, JobWork work, JobResult result, JobCleanup cleanup) {
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  job->result = std::move(result);
  job->cleanup = std::move(cleanup);
  napi_value promise = nullptr;
  if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) throw Napi::Error::New(env);
  if (!Queue(env, name, std::move(job))) throw Error(ErrorCode::kInternal, "Could not queue a job");
  return Napi::Promise(env, promise);
}

void RunDetached(napi_env env, const char* name, JobWork work) {
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  Queue(env, name, std::move(job));
}

}  // namespace sotto
