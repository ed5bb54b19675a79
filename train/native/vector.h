// Vectors of floats in the compiler's own notation, as wide as the instruction set that this file is compiled for, and
// pairs of bf16 numbers, of which a vector holds twice as many.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(KC_LANES)  // tests compile the wide code for narrow machines
constexpr int LANES = KC_LANES;
#elif defined(__AVX512F__)
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

using Pair = uint32_t;  // two bf16 numbers that follow each other in the sum of a product, the first in the low half

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

// Numbers rounded to bf16, to the nearest and of two equally near ones to the even one; each in the low half of 32 bits.
// AVX512_BF16 takes numbers below 1e-38 for zero.
static inline PairVec rounded(Vec x) {
#if defined(__AVX512BF16__)
    return (PairVec)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    const PairVec bits = (PairVec)x;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
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

static inline float sum(Vec x) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += x[lane];
    return total;
}

static inline Vec larger(Vec x, Vec y) { return x > y ? x : y; }

static inline float largest(Vec x) {
    float most = x[0];
    for (int lane = 1; lane < LANES; lane++) most = x[lane] > most ? x[lane] : most;
    return most;
}

// e^x to about 1e-7, clamped to [-87, 88]: e^x = 2^n · e^r with |r| <= ln(2)/2, and a Taylor polynomial for e^r.
static inline Vec exponential(Vec x) {
    const float shift = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number, in the lowest bits
    x = x < -87.0f ? Vec{} - 87.0f : x;
    x = x > 88.0f ? Vec{} + 88.0f : x;
    Vec shifted = x * 1.44269504f + shift;
    Vec n = shifted - shift;
    Vec r = x - n * 0.693359375f;  // ln 2 in two parts, the first of them exact in n·part
    r = r + n * 2.12194440e-4f;
    Vec p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return (Vec)((IntVec)p + ((IntVec)shifted << 23));
}
