// cpu-time.h: what this process has used of the processors.
#pragma once

namespace sotto {

// Of all threads together, in milliseconds. A microsecond or two; on Windows it moves in steps of some 16 ms.
double ProcessCpuMs();

}  // namespace sotto
