// cpu-topology.h: how many cores there really are to compute on. Linux: sysfs, affinity mask and cgroup quota; macOS:
// sysctl (performance levels); Windows: GetLogicalProcessorInformationEx; elsewhere hardware_concurrency.
#pragma once

#include <string>

namespace sotto {

struct CpuTopology {
  std::string model;    // "AMD EPYC …"
  int logical = 1;      // hardware threads this process may run on
  int physical = 1;     // cores among them
  int performance = 1;  // of those, the fast ones on hybrid CPUs; equal to physical elsewhere
  double quota = 0;     // cgroup CPU limit in cores; 0: none
};

const CpuTopology& GetCpuTopology();  // read once

}  // namespace sotto
