// kernels-avx2.cpp: for CPUs without VNNI. VPMADDUBSW adds two products in 16 bits, and saturates there: as many operands may be
// added up before the sum is widened as their bits allow. Compiled for AVX2, FMA and F16C.

#include "kernels.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

namespace {

template <int KIND> struct Dot {
    static constexpr int BITS = sotto_traits_of(KIND).bits;
    // 2 * 127 * (2^bits - 1) times this stays below 2^15.
    static constexpr int MOST = BITS == 4 ? 8 : BITS == 5 ? 4 : BITS == 6 ? 2 : 0;
    __m256i wide;
    __m256i narrow;

    inline void begin(int32_t start) {
        // Eight bits are centred below, so there is no offset to take back.
        wide = BITS == 8 ? _mm256_setzero_si256() : _mm256_set1_epi32(start);
        narrow = _mm256_setzero_si256();
    }
    template <int V> inline void add(__m256i w, __m256i a) {
        const __m256i ones = _mm256_set1_epi16(1);
        if constexpr (BITS == 8) {
            // 255 * 127 * 2 does not fit; |w - 128| does, with the sign moved to the activation.
            const __m256i centred = _mm256_xor_si256(w, _mm256_set1_epi8((char) 0x80));
            const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(a, centred));
            wide = _mm256_add_epi32(wide, _mm256_madd_epi16(products, ones));
        } else {
            narrow = _mm256_add_epi16(narrow, _mm256_maddubs_epi16(w, a));
            if constexpr (V % MOST == MOST - 1) {
                wide = _mm256_add_epi32(wide, _mm256_madd_epi16(narrow, ones));
                narrow = _mm256_setzero_si256();
            }
        }
    }
    inline __m256i end() const { return wide; }
};

}  // namespace

#include "kernels-256.inc"

const sotto_kernels sotto_kernels_avx2 = { "avx2", quantize, SOTTO_ALL_TILES, SOTTO_ALL_FLOAT_TILES, SOTTO_ATTENTION };
