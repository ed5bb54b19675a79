// Vectors of floats by the compiler's vector extensions, as wide as those of the instruction set, and vectors of pairs
// of bf16 numbers, which hold twice as many numbers.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(KC_LANES)  // tests compile the wide code for narrow machines
constexpr int LANES = KC_LANES;
#elif defined(__AVX512F__)
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

#if !defined(KC_AMX)
#define KC_AMX 0
#endif

using Pair = uint32_t;  // two bf16 numbers that are neighbors along the sum of a product, the first in the low half

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(LANES * 4)));
typedef Pair PairVec __attribute__((vector_size(LANES * 4)));
typedef uint16_t HalfVec __attribute__((vector_size(LANES * 2)));
typedef float LooseVec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef Pair LoosePairVec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint16_t LooseHalfVec __attribute__((vector_size(LANES * 2), aligned(2), may_alias));

static inline Vec load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }
static inline PairVec load(const Pair* from) { return *reinterpret_cast<const LoosePairVec*>(from); }
static inline void store(float* to, Vec x) { *reinterpret_cast<LooseVec*>(to) = x; }
static inline void store(Pair* to, PairVec x) { *reinterpret_cast<LoosePairVec*>(to) = x; }
static inline void store(uint16_t* to, HalfVec x) { *reinterpret_cast<LooseHalfVec*>(to) = x; }

// Rounds to the nearest bf16 number, ties to even. Each result is in the low half of 32 bits.
static inline PairVec rounded(Vec x) {
    const PairVec bits = (PairVec)x;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline Vec widened(HalfVec x) {
#if defined(__AVX512BF16__)
    return (Vec)(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16));
#else
    return (Vec)(__builtin_convertvector(x, PairVec) << 16);
#endif
}

// Rounds two rows to bf16: `first` and `second` are the rows, `both` is a row of pairs. AVX512_BF16 takes numbers below
// 1e-38 for zero.
static inline void round_rows(const Vec& x, const Vec& y, HalfVec& first, HalfVec& second, PairVec& both) {
#if defined(__AVX512BF16__)
    typedef uint16_t Halves __attribute__((vector_size(64)));
    Halves order;
    for (int i = 0; i < LANES; i++) order[2 * i] = i, order[2 * i + 1] = i + LANES;
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x);
    first = (HalfVec)_mm512_castsi512_si256(halves), second = (HalfVec)_mm512_extracti64x4_epi64(halves, 1);
    both = (PairVec)_mm512_permutexvar_epi16((__m512i)order, halves);
#else
    const PairVec low = rounded(x), high = rounded(y);
    first = __builtin_convertvector(low, HalfVec), second = __builtin_convertvector(high, HalfVec);
    both = low | high << 16;
#endif
}

static inline Pair rounded(float x) {
    Pair bits;
    std::memcpy(&bits, &x, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// total + a · b
static inline Vec multiply_add(Vec total, float a, Vec b) { return total + a * b; }

static inline Vec multiply_add(Vec total, Pair a, PairVec b) {
#if defined(__AVX512BF16__)
    return (Vec)_mm512_dpbf16_ps((__m512)total, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
#else
    const PairVec both = PairVec{} + a;
    return total + (Vec)(both & 0xffff0000) * (Vec)(b & 0xffff0000) + (Vec)(both << 16) * (Vec)(b << 16);
#endif
}

// The indices of the lanes, from 0.
static inline IntVec lanes() {
    IntVec number;
    for (int lane = 0; lane < LANES; lane++) number[lane] = lane;
    return number;
}

// The larger one of x and y; y where one of them is NaN.
static inline Vec larger(Vec x, Vec y) {
#if defined(__AVX512F__)
    return (Vec)_mm512_max_ps((__m512)x, (__m512)y);
#elif defined(__AVX__) && !defined(KC_LANES)
    return (Vec)_mm256_max_ps((__m256)x, (__m256)y);
#else
    return x > y ? x : y;
#endif
}

// The smaller one of x and y; y where one of them is NaN.
static inline Vec smaller(Vec x, Vec y) {
#if defined(__AVX512F__)
    return (Vec)_mm512_min_ps((__m512)x, (__m512)y);
#elif defined(__AVX__) && !defined(KC_LANES)
    return (Vec)_mm256_min_ps((__m256)x, (__m256)y);
#else
    return x < y ? x : y;
#endif
}

// Combines all lanes by f, which must not depend on their order.
template <class F>
static inline float reduce(Vec x, F f) {
#pragma GCC unroll 4
    for (int d = LANES / 2; d > 0; d /= 2) x = f(x, (Vec)__builtin_shuffle(x, (lanes() + d) & (LANES - 1)));
    return x[0];
}

static inline float sum(Vec x) {
    return reduce(x, [](Vec a, Vec b) { return a + b; });
}

static inline float largest(Vec x) {
    return reduce(x, [](Vec a, Vec b) { return larger(a, b); });
}

// 1 / x for x from 1 to 2e38, with a relative error of at most 1e-7.
static inline Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    const Vec about = (Vec)_mm512_rcp14_ps((__m512)x);
    return about * (2.0f - x * about);
#else
    return 1.0f / x;
#endif
}

// e^x for x of at most 88, with a relative error of at most 3e-7; x below -87 counts as -87. e^x = 2^n · e^r with |r|
// <= ln(2)/2, and e^r is the polynomial of degree 5 with constant term 1 whose largest relative error is smallest
// (9e-8).
static inline Vec exponential(Vec x) {
    const float shift = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, which is in the lowest bits
    x = larger(Vec{} - 87.0f, x);
    const Vec shifted = x * 1.44269504f + shift;
    const Vec n = shifted - shift;
    const Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln 2 in two parts; n times the first is exact
    Vec p = r * 0.008290302008390427f + 0.0418979749083519f;
    p = p * r + 0.1666763722896576f;
    p = p * r + 0.4999915063381195f;
    p = p * r + 0.9999997019767761f;
    p = p * r + 1.0f;
    return (Vec)((IntVec)p + ((IntVec)shifted << 23));
}
