// Matrix products. A tile of the result stays in registers while its inputs are read. The result is always float.
#pragma once

#include <utility>

#include "matrix.h"

constexpr int TILE_ROWS = LANES == 16 ? 12 : 6;  // as many sums as the registers hold
constexpr int TILE_VECTORS = PANEL / LANES;

template <class T, int ROWS, int VECTORS>
static void tile(int K, Left<T> a, Right<T> b, float* c, long stride, const float* bias, bool add) {
    Vec sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = add ? load(c + r * stride + v * LANES) : bias ? load(bias + v * LANES) : Vec{};
    const T *left = a.data, *right = b.data;
    for (int k = 0; k < K; k++, left += a.step, right += b.step) {
        decltype(load(right)) columns[VECTORS];
        for (int v = 0; v < VECTORS; v++) columns[v] = load(right + v * LANES);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) sums[r][v] = multiply_add(sums[r][v], left[r * a.row], columns[v]);
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) store(c + r * stride + v * LANES, sums[r][v]);
}

template <class T>
using Tile = void (*)(int, Left<T>, Right<T>, float*, long, const float*, bool);

template <class T, int... I>
static Tile<T> pick_tile(int rows, int vectors, std::integer_sequence<int, I...>) {
    static constexpr Tile<T> one[] = {tile<T, I + 1, 1>...}, two[] = {tile<T, I + 1, 2>...};
    return vectors == 1 ? one[rows - 1] : two[rows - 1];
}

template <class T>
static void by_tiles(int M, int N, int K, Left<T> a, Right<T> b, float* c, long stride, const float* bias, bool add) {
    const auto all = std::make_integer_sequence<int, TILE_ROWS>{};
    for (int n = 0; n < N; n += PANEL) {
        const int vectors = std::min(PANEL, N - n) / LANES;
        const Right<T> panel{b.data + n / PANEL * b.panel, 0, b.step};
        const Tile<T> full = pick_tile<T>(TILE_ROWS, vectors, all);
        for (int m = 0; m < M; m += TILE_ROWS) {
            const Tile<T> fit = M - m >= TILE_ROWS ? full : pick_tile<T>(M - m, vectors, all);
            fit(K, a.from(m, 0), panel, c + m * stride + n, stride, bias ? bias + n : nullptr, add);
        }
    }
}

#if KC_AMX
#include "amx.h"
#else
static bool tiles_permitted() { return true; }
struct TileSession {
    TileSession() {}
};
#endif

// c [M, N] = a [M, K] · b [K, N], plus `bias` [N] unless null, or plus the old c if `add`. N is a multiple of LANES.
template <class T>
static inline void product(int M, int N, int K, const Left<T>& a, const Right<T>& b, float* c, long stride,
                           const float* bias = nullptr, bool add = false) {
#if KC_AMX
    if constexpr (std::is_same_v<T, Pair>) return by_amx(M, N, elements<T>(K), a, b, c, stride, bias, add);
#endif
    by_tiles(M, N, elements<T>(K), a, b, c, stride, bias, add);
}
