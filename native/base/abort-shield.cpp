#include "base/abort-shield.h"

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace sotto {
namespace {

thread_local int shields = 0;

}  // namespace

AbortShield::AbortShield() { ++shields; }
AbortShield::~AbortShield() { --shields; }

void AbortShield::OnAbort(const char* message) {
#ifndef _MSC_VER  // whose C code lets no exception through
  if (shields > 0) {
    // "/path/of/the/build/file.c:123: GGML_ASSERT(…) failed": the path says nothing to anybody else.
    const char* colon = std::strchr(message, ':');
    const char* name = message;
    for (const char* at = message; at < colon; ++at) {
      if (*at == '/') name = at + 1;
    }
    throw std::runtime_error(name);
  }
#endif
  std::fprintf(stderr, "%s\n", message);
}

}  // namespace sotto
