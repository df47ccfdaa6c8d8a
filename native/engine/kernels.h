// kernels.h: what the engine asks of our kernels inside ggml's CPU backend. They are a guest there, and in a prebuild inside the CPU
// module that was chosen: binding/backends.cpp finds them and introduces them here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sotto {

class Crew;

// The C functions of backends/cpu-kernels/cpu-kernels.h, which says what they do. Null: there are none.
struct KernelFunctions {
  const char* (*name)() = nullptr;
  const char* (*loaded)() = nullptr;
  void (*use)(bool upstream, const char* packed_path, bool bring, void (*packed)(void*, const char*, const char*),
              void* data) = nullptr;
  void (*crew)(void (*run)(void*, int64_t, void (*)(void*, int64_t, int), void*), void* crew, int members) = nullptr;
  bool (*foreign)() = nullptr;
};
void SetKernelFunctions(const KernelFunctions& functions);

// The instruction set in use, or "off".
std::string KernelName();

// Which path the weights of a model took.
struct KernelInfo {
  std::string name = "off";          // instruction set, or "off"
  std::string weights;               // of the packed ones: "memory", "file", or "" where there are none
  std::string problem;               // why they are not in the file that was asked for
  std::vector<std::string> tensors;  // packed for our kernels; the others are used as they lie in the model's file
};

// From here to its end this thread loads one model, or computes with one.
class KernelUse {
 public:
  // `bring`: the pages of that file, before somebody asks for them.
  KernelUse(bool upstream, const std::string& packed_path, bool bring = false);
  ~KernelUse();
  KernelUse(const KernelUse&) = delete;
  KernelUse& operator=(const KernelUse&) = delete;

  // Shares operations with a crew while ggml computes with this thread alone; null: it does not. False: there are no kernels for that.
  bool Share(Crew* crew);
  // Whether graphs since the last call had large operations of ggml's own, which a crew cannot share.
  bool Foreign();

  // After a load that went well.
  KernelInfo Loaded();

 private:
  static void OnPacked(void* data, const char* tensor, const char* problem);
  const std::string path_;
  KernelInfo info_;
};

}  // namespace sotto
