// callers.cpp: two functions that Jazzer.js calls and only its own build of LLVM's libFuzzer has: they say which place in a program compares or jumps,
// where the public ones take the address that they return to. Here each place is a call of its own, one of 256, with a return address of its own.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

extern "C" {
void __sanitizer_cov_trace_const_cmp8(uint64_t first, uint64_t second);
void __sanitizer_cov_trace_pc_indir(uintptr_t callee);
}

namespace {

constexpr size_t kPlaces = 256;

template <size_t place>
void Compare(uint64_t first, uint64_t second) {
  __sanitizer_cov_trace_const_cmp8(first, second);
  asm volatile("" ::"i"(place));  // no tail call, and no two that are folded into one
}

template <size_t place>
void Jump(uintptr_t callee) {
  __sanitizer_cov_trace_pc_indir(callee);
  asm volatile("" ::"i"(place));
}

template <size_t... places>
constexpr auto Comparisons(std::index_sequence<places...>) {
  return std::array{&Compare<places>...};
}

template <size_t... places>
constexpr auto Jumps(std::index_sequence<places...>) {
  return std::array{&Jump<places>...};
}

}  // namespace

extern "C" {

void __sanitizer_cov_trace_const_cmp8_with_pc(uintptr_t place, uint64_t first, uint64_t second) {
  static constexpr auto calls = Comparisons(std::make_index_sequence<kPlaces>());
  calls[place % kPlaces](first, second);
}

void __sanitizer_cov_trace_pc_indir_with_pc(void *place, uintptr_t callee) {
  static constexpr auto calls = Jumps(std::make_index_sequence<kPlaces>());
  calls[reinterpret_cast<uintptr_t>(place) % kPlaces](callee);
}
}
