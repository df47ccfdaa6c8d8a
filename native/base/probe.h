// probe.h: USDT probe points of provider `sotto`, compiled in by SOTTO_PROBES; a nop each until a tracer such as bpftrace attaches.
// Names and arguments are a contract with tracing scripts: `id` is the request's, counts are tokens.
#pragma once

#ifdef SOTTO_PROBES
#include <sys/sdt.h>
#define SOTTO_PROBE1(name, a) DTRACE_PROBE1(sotto, name, a)
#define SOTTO_PROBE2(name, a, b) DTRACE_PROBE2(sotto, name, a, b)
#define SOTTO_PROBE3(name, a, b, c) DTRACE_PROBE3(sotto, name, a, b, c)
#else
#define SOTTO_PROBE1(name, a) static_cast<void>(0)
#define SOTTO_PROBE2(name, a, b) static_cast<void>(0)
#define SOTTO_PROBE3(name, a, b, c) static_cast<void>(0)
#endif
