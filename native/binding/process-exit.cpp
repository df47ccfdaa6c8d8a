// process-exit.cpp: no static destructor of the addon, of llama.cpp or of ggml runs when the process exits.
//
// process.exit() destroys statics on the JS thread while scheduler and pool threads may be in the middle of a step: usually
// an exit listener has ended them (lib/native.ts), but anybody may remove all listeners. ggml looks at a static vector
// in every operation; freed under it, the process died of SIGSEGV in 3 of 100 exits. What these destructors would give back,
// the kernel takes a moment later anyway, and the addon is never unloaded before (PinAddon).
//
// Compilers register such destructors with __cxa_atexit (Itanium C++ ABI, 3.3.6.3). The linker finds this one first, so each
// library it is linked into registers nothing. Destructors of thread_local objects go another way and run as ever.
#ifndef _WIN32  // there the system ends all other threads before it tells a DLL

// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" __attribute__((visibility("hidden"))) int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }

#endif
