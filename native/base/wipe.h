// wipe.h: zeros that the compiler may not leave out.
#pragma once

#include <cstddef>
#include <cstring>

namespace sotto {

inline void WipeMemory(void* data, size_t bytes) {
  if (bytes == 0) return;
  std::memset(data, 0, bytes);
#if defined(_MSC_VER)
  volatile unsigned char* last = static_cast<volatile unsigned char*>(data) + bytes - 1;
  *last = 0;
#else
  asm volatile("" : : "r"(data) : "memory");  // somebody may read it: the zeros must be there
#endif
}

}  // namespace sotto
