#include "base/cpu-topology.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif

namespace sotto {
namespace {

#if defined(__linux__)
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

double NumberIn(const std::string& path) {
  std::istringstream text(FirstLine(path));
  double number = 0;
  text >> number;
  return number;
}

std::string ModelName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0 && line.rfind("Model", 0) != 0) continue;
    const size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 < line.size()) return line.substr(colon + 2);
  }
  return {};
}

// The tightest limit on the way from our cgroup to the root. Version 2: cpu.max, "max 100000" or "150000 100000".
double CgroupQuota() {
  double tightest = 0;
  const auto take = [&tightest](double quota, double period) {
    if (quota <= 0 || period <= 0) return;
    const double cores = quota / period;
    if (tightest == 0 || cores < tightest) tightest = cores;
  };
  std::ifstream own("/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    const bool v2 = controllers.empty();
    if (!v2 && controllers.find("cpu") == std::string::npos) continue;
    while (true) {
      const std::string folder = (v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu") + (path == "/" ? std::string() : path);
      if (v2) {
        std::istringstream limit(FirstLine(folder + "/cpu.max"));
        double quota = 0, period = 0;
        if (limit >> quota >> period) take(quota, period);
      } else {
        take(NumberIn(folder + "/cpu.cfs_quota_us"), NumberIn(folder + "/cpu.cfs_period_us"));
      }
      if (path.size() <= 1) break;
      path.resize(std::max<size_t>(path.rfind('/'), 1));
    }
  }
  return tightest;
}

CpuTopology Read() {
  CpuTopology topology;
  topology.model = ModelName();
  topology.quota = CgroupQuota();
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return topology;
  std::set<std::string> cores;
  std::vector<double> speeds;
  topology.logical = std::max(CPU_COUNT(&allowed), 1);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    std::string siblings = FirstLine(folder + "/topology/core_cpus_list");
    if (siblings.empty()) siblings = FirstLine(folder + "/topology/thread_siblings_list");
    if (siblings.empty()) siblings = std::to_string(cpu);
    if (!cores.insert(siblings).second) continue;
    double speed = NumberIn(folder + "/cpu_capacity");  // Arm
    if (speed == 0) speed = NumberIn(folder + "/cpufreq/cpuinfo_max_freq");
    speeds.push_back(speed);
  }
  topology.physical = std::max(int(cores.size()), 1);
  // Cores of one kind differ by a few percent in their best clock; an efficiency core by a quarter or more.
  const double fastest = speeds.empty() ? 0 : *std::max_element(speeds.begin(), speeds.end());
  topology.performance =
      int(std::count_if(speeds.begin(), speeds.end(), [=](double speed) { return speed >= 0.8 * fastest; }));
  topology.performance = std::max(topology.performance, 1);
  return topology;
}
#elif defined(__APPLE__)
int Sysctl(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

CpuTopology Read() {
  CpuTopology topology;
  char model[128] = {};
  size_t size = sizeof model - 1;
  if (sysctlbyname("machdep.cpu.brand_string", model, &size, nullptr, 0) == 0) topology.model = model;
  topology.logical = std::max(Sysctl("hw.logicalcpu"), 1);
  topology.physical = std::max(Sysctl("hw.physicalcpu"), 1);
  const int fast = Sysctl("hw.perflevel0.physicalcpu");
  topology.performance = fast > 0 ? fast : topology.physical;
  return topology;
}
#elif defined(_WIN32)
CpuTopology Read() {
  CpuTopology topology;
  topology.logical = int(std::max(std::thread::hardware_concurrency(), 1u));
  DWORD size = 0;
  GetLogicalProcessorInformationEx(RelationProcessorCore, nullptr, &size);
  std::vector<uint8_t> buffer(size);
  auto* info = reinterpret_cast<SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX*>(buffer.data());
  if (size == 0 || !GetLogicalProcessorInformationEx(RelationProcessorCore, info, &size)) return topology;
  int cores = 0, best = -1, fast = 0;
  for (DWORD at = 0; at < size;) {
    info = reinterpret_cast<SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX*>(buffer.data() + at);
    const int grade = info->Processor.EfficiencyClass;
    ++cores;
    if (grade > best) {
      best = grade;
      fast = 0;
    }
    fast += grade == best;
    at += info->Size;
  }
  topology.physical = std::max(cores, 1);
  topology.performance = std::max(fast, 1);
  return topology;
}
#else
CpuTopology Read() {
  CpuTopology topology;
  topology.logical = topology.physical = topology.performance = int(std::max(std::thread::hardware_concurrency(), 1u));
  return topology;
}
#endif

}  // namespace

const CpuTopology& GetCpuTopology() {
  static const CpuTopology topology = Read();
  return topology;
}

}  // namespace sotto
