// FuzzerDefs.h: what Jazzer.js uses of libFuzzer's private header of this name, by way of libFuzzer's public one (LLVM's
// FuzzerInterface.h): the compiler's own libFuzzer then does, and nothing of LLVM's sources is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

namespace fuzzer {
using UserCallback = int (*)(const uint8_t *, size_t);
inline int FuzzerDriver(int *argc, char ***argv, UserCallback callback) {
  return LLVMFuzzerRunDriver(argc, argv, callback);
}
}  // namespace fuzzer
