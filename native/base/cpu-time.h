// cpu-time.h: what this process has used of the processors.
#pragma once

namespace sotto {

// Of all threads together, in milliseconds. A microsecond or two; on Windows it moves in steps of some 16 ms.
double ProcessCpuMs();

// What the calling thread has used. Negative on Windows, whose clock of a thread is too coarse to say who else ran.
double ThreadCpuMs();

}  // namespace sotto
