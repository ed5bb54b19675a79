// Matrix products of bf16 pairs by AMX. A tile holds 16 x 16 sums, and one instruction adds 32 products to each of
// them. Rows and columns that do not fill a tile are left to the vectors of product.h, which includes this file.
#pragma once

constexpr int EDGE = 16;  // rows of a tile, and 32-bit elements of a row
static_assert(LANES == EDGE);

#if KC_AMX_BY_LOOPS  // for tests: loops that compute the same on any machine
static thread_local Pair tiles[8][EDGE][EDGE];
#define _tile_zero(T) std::memset(tiles[T], 0, sizeof tiles[T])
#define _tile_loadd(T, from, stride) \
    for (int r = 0; r < EDGE; r++) std::memcpy(tiles[T][r], (const char*)(from) + r * (stride), 4 * EDGE)
#define _tile_stored(T, to, stride) \
    for (int r = 0; r < EDGE; r++) std::memcpy((char*)(to) + r * (stride), tiles[T][r], 4 * EDGE)
#define _tile_dpbf16ps(C, A, B) add_tile_product(tiles[C], tiles[A], tiles[B])

static void add_tile_product(Pair (*c)[EDGE], Pair (*a)[EDGE], Pair (*b)[EDGE]) {
    for (int m = 0; m < EDGE; m++)
        for (int k = 0; k < EDGE; k++) store(c[m], (PairVec)multiply_add((Vec)load(c[m]), a[m][k], load(b[k])));
}

static bool tiles_permitted() { return true; }
struct TileSession {};
#else
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// Linux lets a process use the tile registers only after a request.
static bool tiles_permitted() {
    constexpr int REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool permitted = syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
    return permitted;
}

// Configures all eight tiles of this thread at full size; the destructor releases them.
struct TileSession {
    TileSession() {
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {EDGE, EDGE, EDGE, EDGE, EDGE, EDGE, EDGE, EDGE};
        } const config;
        static_assert(sizeof config == 64);
        asm volatile("ldtilecfg %0" ::"m"(config));  // GCC 12's intrinsic declares only 8 of the 64 bytes as read
    }
    ~TileSession() { _tile_release(); }
    TileSession(const TileSession&) = delete;
};
#endif

// Computes up to 2 x 2 tiles of c. TALL: two tiles below each other; WIDE: two side by side. K is a multiple of EDGE.
// The rows of a are `row` pairs apart, those of b `step` pairs.
template <bool TALL, bool WIDE>
[[gnu::always_inline]] static inline void tile_block(int K, const Pair* a, long row, const Pair* b, long step, float* c,
                                                     long stride, const float* bias, bool add) {
    const long line = stride * 4, left = row * 4, right = step * 4;
    float* below = c + EDGE * stride;
    asm volatile("" ::: "memory");  // the compiler does not know that the loads below read memory
    if (add) {
        _tile_loadd(0, c, line);
        if constexpr (WIDE) _tile_loadd(1, c + EDGE, line);
        if constexpr (TALL) _tile_loadd(2, below, line);
        if constexpr (TALL && WIDE) _tile_loadd(3, below + EDGE, line);
    } else if (bias) {  // with a stride of 0, all rows are the same line
        _tile_loadd(0, bias, 0);
        if constexpr (WIDE) _tile_loadd(1, bias + EDGE, 0);
        if constexpr (TALL) _tile_loadd(2, bias, 0);
        if constexpr (TALL && WIDE) _tile_loadd(3, bias + EDGE, 0);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int k = 0; k < K; k += EDGE) {
        _tile_loadd(4, a + k, left);
        _tile_loadd(6, b + k * step, right);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (WIDE) {
            _tile_loadd(7, b + k * step + EDGE, right);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (TALL) {
            _tile_loadd(5, a + EDGE * row + k, left);
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (TALL && WIDE) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, line);
    if constexpr (WIDE) _tile_stored(1, c + EDGE, line);
    if constexpr (TALL) _tile_stored(2, below, line);
    if constexpr (TALL && WIDE) _tile_stored(3, below + EDGE, line);
}

// Copies a left factor that is stored transposed to rows that are K + PAD apart. M and K are multiples of EDGE. Each
// row starts at a cache line; otherwise a tile would touch twice as many lines.
static const Pair* transposed_copy(int M, int K, const Left<Pair>& a) {
    static thread_local Memory memory;
    static thread_local Pair* copy = nullptr;
    static thread_local long size = 0;
    const long row = K + PAD;
    if (M * row > size) {
        size = 0, memory.clear();
        copy = memory.allocate<Pair>(M * row), size = M * row;
    }
    for (int m = 0; m < M; m += EDGE)
        for (int k = 0; k < K; k += EDGE) transpose_square(a.data + m + k * a.step, a.step, copy + m * row + k, row);
    return copy;
}

// Like `by_tiles` of product.h; K counts elements. Matrices are passed by reference, and blocks get plain numbers: a
// structure that is copied right after it was made is read by wider loads than it was written by, and such loads wait
// until all earlier tiles are in the cache.
static void by_amx(int M, int N, int K, const Left<Pair>& a, const Right<Pair>& b, float* c, long stride,
                   const float* bias, bool add) {
    const int high = M / EDGE * EDGE, deep = K / EDGE * EDGE;
    if (!high || !deep) return by_tiles(M, N, K, a, b, c, stride, bias, add);
    const bool across = a.step != 1;
    const Pair* by_rows = across ? transposed_copy(high, deep, a) : a.data;
    const long row = across ? deep + PAD : a.row;
    for (int n = 0; n < N; n += PANEL) {
        const bool wide = N - n >= PANEL;
        const Pair* right = b.data + n / PANEL * b.panel;
        const float* from = bias ? bias + n : nullptr;
        for (int m = 0; m < high; m += 2 * EDGE) {
            const bool tall = high - m >= 2 * EDGE;
            const Pair* left = by_rows + m * row;
            float* to = c + m * stride + n;
            if (tall && wide) tile_block<true, true>(deep, left, row, right, b.step, to, stride, from, add);
            else if (tall) tile_block<true, false>(deep, left, row, right, b.step, to, stride, from, add);
            else if (wide) tile_block<false, true>(deep, left, row, right, b.step, to, stride, from, add);
            else tile_block<false, false>(deep, left, row, right, b.step, to, stride, from, add);
        }
    }
    if (deep < K) by_tiles(high, N, K - deep, a.from(0, deep), b.from(deep), c, stride, nullptr, true);
    if (high < M) by_tiles(M - high, N, K, a.from(high, 0), b, c + high * stride, stride, bias, add);
}
