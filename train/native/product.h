// Matrix products: a tile of the result stays in registers while its inputs stream past.
#pragma once

#include <algorithm>
#include <utility>

#include "vector.h"

constexpr int TILE_ROWS = LANES == 16 ? 12 : 6;  // as many accumulators as the registers hold
constexpr int TILE_VECTORS = 2;
constexpr int PANEL = TILE_VECTORS * LANES;  // columns of a tile

static inline int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Element (m, k) at data[m·row + k·step]: steps of 1 for a matrix as it is stored, rows of 1 for its transpose.
struct Left {
    const float* data;
    long row, step;
};

// Panels of PANEL columns: element (k, n) at data[n / PANEL · panel + k·step + n % PANEL].
struct Right {
    const float* data;
    long panel, step;
};

static inline Right as_stored(const float* data, long stride) { return {data, PANEL, stride}; }

template <int ROWS, int VECTORS>
static void tile(int K, Left a, Right b, float* c, long stride, const float* bias, bool add) {
    Vec sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = add ? load(c + r * stride + v * LANES) : bias ? load(bias + v * LANES) : Vec{};
    const float *left = a.data, *right = b.data;
    for (int k = 0; k < K; k++, left += a.step, right += b.step) {
        Vec columns[VECTORS];
        for (int v = 0; v < VECTORS; v++) columns[v] = load(right + v * LANES);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) sums[r][v] += left[r * a.row] * columns[v];
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) store(c + r * stride + v * LANES, sums[r][v]);
}

using Tile = void (*)(int, Left, Right, float*, long, const float*, bool);

template <int... I>
static Tile pick_tile(int rows, int vectors, std::integer_sequence<int, I...>) {
    static constexpr Tile one[] = {tile<I + 1, 1>...}, two[] = {tile<I + 1, 2>...};
    return vectors == 1 ? one[rows - 1] : two[rows - 1];
}

// c [M, N] = a [M, K] · b [K, N], plus `bias` [N] if there is one, or plus what c holds if `add`. N: a multiple of LANES.
static void product(int M, int N, int K, Left a, Right b, float* c, long stride, const float* bias = nullptr,
                    bool add = false) {
    const auto all = std::make_integer_sequence<int, TILE_ROWS>{};
    for (int n = 0; n < N; n += PANEL) {
        const int vectors = std::min(PANEL, N - n) / LANES;
        const Right panel{b.data + n / PANEL * b.panel, 0, b.step};
        const Tile full = pick_tile(TILE_ROWS, vectors, all);
        for (int m = 0; m < M; m += TILE_ROWS) {
            const Tile fit = M - m >= TILE_ROWS ? full : pick_tile(M - m, vectors, all);
            fit(K, {a.data + m * a.row, a.row, a.step}, panel, c + m * stride + n, stride, bias ? bias + n : nullptr, add);
        }
    }
}

// A matrix copied into panels, so that a tile reads it in one line. Columns behind the last one are zero.
struct Packed {
    float* data = nullptr;
    int K = 0, N = 0;
    static long floats(int K, int N) { return (long)K * round_up(N, PANEL); }
    Right right() const { return {data, (long)K * PANEL, PANEL}; }

    void copy(const float* matrix, int columns) {  // [K, N] from rows of N, of which `columns` are there
        for (int n = 0; n < round_up(N, PANEL); n += PANEL)
            for (int k = 0; k < K; k++) {
                float* to = data + (long)n * K + (long)k * PANEL;
                const int width = std::clamp(columns - n, 0, PANEL);
                std::copy_n(matrix + (long)k * columns + n, width, to);
                std::fill(to + width, to + PANEL, 0.0f);
            }
    }
    void transpose(const float* matrix, long stride, int rows) {  // [K, N] from [N, K], of whose N rows `rows` are there
        for (int n = 0; n < round_up(N, PANEL); n += PANEL)
            for (int column = 0; column < PANEL; column++) {
                float* to = data + (long)n * K + column;
                const float* from = matrix + (n + column) * stride;
                for (int k = 0; k < K; k++) to[(long)k * PANEL] = n + column < rows ? from[k] : 0.0f;
            }
    }
};
