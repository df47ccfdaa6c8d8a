#include "base/cpu-time.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <ctime>
#endif

namespace sotto {
#ifndef _WIN32
namespace {

double Read(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return double(time.tv_sec) * 1e3 + double(time.tv_nsec) / 1e6;
}

}  // namespace
#endif

double ProcessCpuMs() {
#ifdef _WIN32
  FILETIME created, exited, kernel, user;
  if (!GetProcessTimes(GetCurrentProcess(), &created, &exited, &kernel, &user)) return 0;
  const auto ms = [](const FILETIME& time) {
    return double((static_cast<unsigned long long>(time.dwHighDateTime) << 32) | time.dwLowDateTime) / 1e4;
  };
  return ms(kernel) + ms(user);
#else
  return Read(CLOCK_PROCESS_CPUTIME_ID);
#endif
}

double ThreadCpuMs() {
#ifdef _WIN32
  return -1;
#else
  return Read(CLOCK_THREAD_CPUTIME_ID);
#endif
}

}  // namespace sotto
