// Vectors of floats in the compiler's own notation, as wide as the instruction set that this file is compiled for.
#pragma once

#include <cstdint>

#if defined(KC_LANES)  // tests compile the wide code for narrow machines
constexpr int LANES = KC_LANES;
#elif defined(__AVX512F__)
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(LANES * 4)));
typedef float LooseVec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline Vec load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }
static inline void store(float* to, Vec x) { *reinterpret_cast<LooseVec*>(to) = x; }

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
