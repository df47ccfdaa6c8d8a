// kernels-neondot.cpp: SDOT, which takes signed weights. Compiled for ARMv8.2 with its dot products.

#include "kernels.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

namespace {

constexpr bool CENTRED = true;

template <int LANE> SOTTO_INLINE int32x4_t dot(int32x4_t sum, uint8x16_t w, int8x16_t x) {
    return vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w), x, LANE);
}

}  // namespace

#include "kernels-neon.inc"

const sotto_kernels sotto_kernels_neondot = { "neondot", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION };
