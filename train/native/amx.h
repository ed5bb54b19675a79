// Products of bf16 pairs by AMX: tiles of 16 x 16 sums, to each of which one instruction adds 32 products. What does not
// fill tiles is left to the vectors of product.h, which includes this file.
#pragma once

constexpr int EDGE = 16;  // rows of a tile, and 32-bit elements in each
static_assert(LANES == EDGE);

#if KC_AMX_BY_LOOPS  // tests: the same instructions on any machine
static thread_local Pair tiles[8][EDGE][EDGE];
#define _tile_zero(T) std::memset(tiles[T], 0, sizeof tiles[T])
#define _tile_loadd(T, from, stride) \
    for (int r = 0; r < EDGE; r++) std::memcpy(tiles[T][r], (const char*)(from) + r * (stride), 4 * EDGE)
#define _tile_stored(T, to, stride) \
    for (int r = 0; r < EDGE; r++) std::memcpy((char*)(to) + r * (stride), tiles[T][r], 4 * EDGE)
#define _tile_dpbf16ps(C, A, B)                                                                                      \
    for (int m = 0; m < EDGE; m++)                                                                                   \
        for (int k = 0; k < EDGE; k++)                                                                               \
            store(tiles[C][m], (PairVec)multiply_add((Vec)load(tiles[C][m]), tiles[A][m][k], load(tiles[B][k])))

static bool tiles_permitted() { return true; }
struct TileSession {};
#else
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// Linux gives the tiles' registers to a process only when asked.
static bool tiles_permitted() {
    constexpr int REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool permitted = syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
    return permitted;
}

// All eight tiles of this thread at their full size, for as long as this lives.
struct TileSession {
    TileSession() {
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {EDGE, EDGE, EDGE, EDGE, EDGE, EDGE, EDGE, EDGE};
        } const config;
        static_assert(sizeof config == 64);
        asm volatile("ldtilecfg %0" ::"m"(config));  // GCC 12's intrinsic names 8 bytes only, and drops the others
    }
    ~TileSession() { _tile_release(); }
    TileSession(const TileSession&) = delete;
};
#endif

// Up to 2 x 2 tiles of c (TALL: two below each other, WIDE: two side by side); K: a multiple of EDGE.
template <bool TALL, bool WIDE>
static void tile_block(int K, Left<Pair> a, Right<Pair> b, float* c, long stride, const float* bias, bool add) {
    const long line = stride * 4, left = a.row * 4, right = b.step * 4;
    float* below = c + EDGE * stride;
    if (bias && !add) {
        for (int m = 0; m < (TALL ? 2 : 1) * EDGE; m++) std::copy_n(bias, (WIDE ? 2 : 1) * EDGE, c + m * stride);
        add = true;
    }
    asm volatile("" ::: "memory");  // the compiler does not know that the loads below read memory
    if (add) {
        _tile_loadd(0, c, line);
        if constexpr (WIDE) _tile_loadd(1, c + EDGE, line);
        if constexpr (TALL) _tile_loadd(2, below, line);
        if constexpr (TALL && WIDE) _tile_loadd(3, below + EDGE, line);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int k = 0; k < K; k += EDGE) {
        _tile_loadd(4, a.data + k, left);
        _tile_loadd(6, b.data + k * b.step, right);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (WIDE) {
            _tile_loadd(7, b.data + k * b.step + EDGE, right);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (TALL) {
            _tile_loadd(5, a.data + EDGE * a.row + k, left);
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (TALL && WIDE) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, line);
    if constexpr (WIDE) _tile_stored(1, c + EDGE, line);
    if constexpr (TALL) _tile_stored(2, below, line);
    if constexpr (TALL && WIDE) _tile_stored(3, below + EDGE, line);
}

// A matrix by lines, from one by columns: M and K multiples of EDGE.
static Left<Pair> turned(int M, int K, Left<Pair> a) {
    static thread_local std::vector<Pair> copy;
    const long row = K + PAD;
    copy.resize(std::max(copy.size(), (size_t)(M * row)));
    for (int m = 0; m < M; m += EDGE)
        for (int k = 0; k < K; k += EDGE) turn(a.data + m + k * a.step, a.step, copy.data() + m * row + k, row);
    return {copy.data(), row, 1};
}

// As `by_tiles` of product.h, K in elements.
static void by_amx(int M, int N, int K, Left<Pair> a, Right<Pair> b, float* c, long stride, const float* bias, bool add) {
    const int high = M / EDGE * EDGE, deep = K / EDGE * EDGE;
    if (!high || !deep) return by_tiles(M, N, K, a, b, c, stride, bias, add);
    const Left<Pair> lines = a.step == 1 ? a : turned(high, deep, a);
    for (int n = 0; n < N; n += PANEL) {
        const bool wide = N - n >= PANEL;
        const Right<Pair> panel{b.data + n / PANEL * b.panel, 0, b.step};
        for (int m = 0; m < high; m += 2 * EDGE) {
            const bool tall = high - m >= 2 * EDGE;
            const auto block = tall ? (wide ? tile_block<true, true> : tile_block<true, false>)
                                    : (wide ? tile_block<false, true> : tile_block<false, false>);
            block(deep, lines.from(m, 0), panel, c + m * stride + n, stride, bias ? bias + n : nullptr, add);
        }
    }
    if (deep < K) by_tiles(high, N, K - deep, a.from(0, deep), b.from(deep), c, stride, nullptr, true);
    if (high < M) by_tiles(M - high, N, K, a.from(high, 0), b, c + high * stride, stride, bias, add);
}
