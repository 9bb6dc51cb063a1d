// Vectors of floats, as wide as the processor's: AVX-512, or AVX2 with FMA and F16C. Elsewhere there are
// none.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <numbers>

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define LLAMAD_LANES 16
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define LLAMAD_LANES 8
#endif

#ifdef LLAMAD_LANES
#include <immintrin.h>

namespace llamad::attention {

inline constexpr int kLanes = LLAMAD_LANES;

#if LLAMAD_LANES == 16
using Lanes = __m512;

inline Lanes load(const float *from) { return _mm512_loadu_ps(from); }
inline Lanes load_f16(const std::uint16_t *from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
}
inline void store(float *to, Lanes lanes) { _mm512_storeu_ps(to, lanes); }
inline Lanes splat(float value) { return _mm512_set1_ps(value); }
inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline Lanes multiply(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
inline Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
inline Lanes subtract(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
inline Lanes larger(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
inline Lanes round_lanes(Lanes lanes) {
    return _mm512_roundscale_ps(lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Lanes power_of_two(Lanes whole) { // -127 to 127
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(whole), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}
inline float largest(Lanes lanes) { return _mm512_reduce_max_ps(lanes); }
inline float sum(Lanes lanes) { return _mm512_reduce_add_ps(lanes); }
inline __m256 halved(Lanes lanes) {
    return _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
}
// Of each of the four vectors.
inline __m128 sums(Lanes a, Lanes b, Lanes c, Lanes d) {
    const Lanes ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const Lanes cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m256 half = halved(
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
                      _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)))));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
#else
using Lanes = __m256;

inline Lanes load(const float *from) { return _mm256_loadu_ps(from); }
inline Lanes load_f16(const std::uint16_t *from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
}
inline void store(float *to, Lanes lanes) { _mm256_storeu_ps(to, lanes); }
inline Lanes splat(float value) { return _mm256_set1_ps(value); }
inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
inline Lanes multiply(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
inline Lanes add(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
inline Lanes subtract(Lanes a, Lanes b) { return _mm256_sub_ps(a, b); }
inline Lanes larger(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
inline Lanes round_lanes(Lanes lanes) {
    return _mm256_round_ps(lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Lanes power_of_two(Lanes whole) { // -127 to 127
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
// Of each of the four vectors.
inline __m128 sums(Lanes a, Lanes b, Lanes c, Lanes d) {
    const Lanes half = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
inline float sum(Lanes lanes) { return _mm_cvtss_f32(sums(lanes, lanes, lanes, lanes)); }
inline float largest(Lanes lanes) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
#endif

// e^x for x <= 0; 0 where that would not be a normal number.
inline Lanes exponential(Lanes x) {
    // 2^whole * e^rest, with the rest within ln(2)/2 of 0 by its Taylor series, whose error is 1e-7 there.
    const Lanes bounded = larger(x, splat(-88.0F));
    const Lanes whole = round_lanes(multiply(bounded, splat(std::numbers::log2e_v<float>)));
    const Lanes rest = multiply_add(whole, splat(-std::numbers::ln2_v<float>), bounded);
    Lanes series = splat(1.0F / 720.0F);
    for (const float coefficient : {1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F}) {
        series = multiply_add(series, rest, splat(coefficient));
    }
    return multiply(series, power_of_two(whole)); // whole is -127 at -88, and this 0
}

} // namespace llamad::attention
#endif
