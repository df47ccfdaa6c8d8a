// memory.h: memory that the allocator keeps although nobody uses it.
#pragma once

#ifdef __linux__
#include <malloc.h>
#endif

namespace sotto {

// glibc keeps what was freed in the arena of the thread that freed it, for blocks of up to 32 MB each: a closed model would go on
// counting in the process's memory. Milliseconds; any thread but JavaScript's.
inline void ReturnFreedMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace sotto
