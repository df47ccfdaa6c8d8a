#include "engine/threads.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "base/cpu-topology.h"
#include "base/error.h"

namespace sotto {
namespace {

constexpr double kSpinMs = 0.02;  // of a crew, for each step of `poll`

// The pool functions live in the CPU backend, which is a module in prebuilds: they are asked of its registry, not
// linked.
template <typename Function>
Function* CpuFunction(const char* name) {
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_reg_t registry = device ? ggml_backend_dev_backend_reg(device) : nullptr;
  void* address = registry ? ggml_backend_reg_get_proc_address(registry, name) : nullptr;
  if (!address) throw Error(ErrorCode::kModelUnsupported, std::string("The CPU backend has no ") + name);
  return reinterpret_cast<Function*>(address);
}

using Key = std::tuple<std::vector<int>, int, int>;  // affinity, priority, poll

struct Registry {
  std::mutex mutex;
  std::map<Key, std::weak_ptr<ThreadPool>> pools;
};
// Never destroyed: the last model may be closed by a static destructor of the host program.
Registry& Pools() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

ThreadPool::ThreadPool(const ThreadOptions& options, int size) : options_(options), size_(size), pool_(Make(size)) {}

ggml_threadpool_t ThreadPool::Make(int count) const {
  ggml_threadpool_params params = ggml_threadpool_params_default(count);
  params.prio = static_cast<ggml_sched_priority>(options_.priority);
  params.poll = uint32_t(options_.poll);
  for (const int cpu : options_.affinity) params.cpumask[cpu] = true;
  params.strict_cpu = !options_.affinity.empty() && int(options_.affinity.size()) >= count;
  // Paused at birth: otherwise the affinity and priority are set on the thread that makes the pool instead of the ones
  // that compute.
  params.paused = true;
  ggml_threadpool_t pool = CpuFunction<decltype(ggml_threadpool_new)>("ggml_threadpool_new")(&params);
  if (!pool) throw Error(ErrorCode::kModelMemory, "Could not start " + std::to_string(count) + " compute threads");
  return pool;
}

ggml_threadpool_t ThreadPool::get(int count) {
  if (count == size_) return pool_;
  std::lock_guard lock(mutex_);
  ggml_threadpool_t& pool = smaller_[count];
  if (!pool) pool = Make(count);
  return pool;
}

Crew* ThreadPool::crew(int members) {
  if (members <= 1 || !options_.affinity.empty() || options_.priority != 0) return nullptr;
  std::lock_guard lock(mutex_);
  std::unique_ptr<Crew>& crew = crews_[members];
  if (!crew) crew = std::make_unique<Crew>(members, kSpinMs * options_.poll);
  return crew.get();
}

ThreadPool::~ThreadPool() {
  auto* release = CpuFunction<decltype(ggml_threadpool_free)>("ggml_threadpool_free");
  for (const auto& [count, pool] : smaller_) release(pool);
  release(pool_);
}

std::shared_ptr<ThreadPool> ThreadPool::Acquire(const ThreadOptions& options) {
  for (const int cpu : options.affinity) {
    if (cpu < 0 || cpu >= GGML_MAX_N_THREADS) {
      throw Error(ErrorCode::kOptionInvalid, "Expected threads.affinity to hold CPU numbers from 0 to " +
                                                 std::to_string(GGML_MAX_N_THREADS - 1) + ", received " +
                                                 std::to_string(cpu));
    }
  }
  const int wanted = std::max(options.generation, options.prompt);
  Registry& registry = Pools();
  std::lock_guard lock(registry.mutex);
  auto& slot = registry.pools[Key(options.affinity, options.priority, options.poll)];
  std::shared_ptr<ThreadPool> pool = slot.lock();
  if (pool && pool->size() >= wanted) return pool;
  // Sized to the physical cores at once, so that the next model's count rarely asks for another pool.
  const int size = std::max({wanted, GetCpuTopology().physical, 1});
  pool.reset(new ThreadPool(options, std::min(size, GGML_MAX_N_THREADS)));
  slot = pool;
  return pool;
}

}  // namespace sotto
