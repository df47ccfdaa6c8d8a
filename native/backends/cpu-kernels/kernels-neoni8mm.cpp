// kernels-neoni8mm.cpp: USDOT takes weights as the unsigned numbers that they are. Compiled for ARMv8.2 with its dot products and i8mm.
//
// Not USMMLA, which multiplies twice as much: it wants eight columns of a row side by side where our layout has four, and the columns
// of activations in pairs. Putting them so takes what it saves: a column and block of Q4_0 cost 8 rows 7.8 cycles at best, and 8.3
// without, says llvm-mca 19 of a Neoverse V1.

#include "kernels.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

namespace {

constexpr bool CENTRED = false;

template <int LANE> SOTTO_INLINE int32x4_t dot(int32x4_t sum, uint8x16_t w, int8x16_t x) { return vusdotq_laneq_s32(sum, w, x, LANE); }

}  // namespace

#include "kernels-neon.inc"

const sotto_kernels sotto_kernels_neoni8mm = { "neoni8mm", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION };
