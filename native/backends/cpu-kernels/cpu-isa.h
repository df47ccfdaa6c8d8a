// cpu-isa.h: which kernels this CPU runs.
#pragma once

#include "kernels.h"

// The one SOTTO_CPU names if the CPU has it; without it the fastest set the CPU has, on ARM none. Null: ggml's own kernels do the work.
const sotto_kernels * sotto_choose_kernels();

// By name; null when there is no such set, or not for this CPU.
const sotto_kernels * sotto_find_kernels(const char * name);

// What sotto_choose_kernels() chose the first time.
const sotto_kernels * sotto_kernels_in_use();
