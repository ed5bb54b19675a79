// Matrices as the products of product.h read them. Their numbers are floats or pairs of bf16 numbers (T below): with pairs,
// an element holds two numbers that follow each other along the sum of the product.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <vector>

#include "vector.h"

constexpr int PANEL = 2 * LANES;  // columns of a tile
constexpr int PAD = 16;           // floats (64 bytes) behind each line, because vectors may read or write so far past its end

static inline int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

template <class T>
constexpr int EACH = std::is_same_v<T, float> ? 1 : 2;  // numbers in an element

// Elements that hold K numbers along the sum.
template <class T>
static inline int elements(int K) {
    return (K + EACH<T> - 1) / EACH<T>;
}

// Numbers along a sum of K that products take, to fill whole tiles of AMX: on the right, zeros follow the K; on the left, numbers
// of the same pass (or zeros), so that one that is not a number spoils no later pass.
template <class T>
static inline int depth(int K) {
    return KC_AMX && EACH<T> == 2 ? round_up(K, 2 * LANES) : K;
}

// Element (m, k) at data[m·row + k·step]: steps of 1 for a matrix as it is stored, rows of 1 for its transpose.
template <class T>
struct Left {
    const T* data;
    long row, step;
    Left from(int m, int k) const { return {data + m * row + k * step, row, step}; }
};

// Panels of PANEL columns: element (k, n) at data[n / PANEL · panel + k·step + n % PANEL].
template <class T>
struct Right {
    const T* data;
    long panel, step;
    Right from(int k) const { return {data + k * step, panel, step}; }
};

template <class T>
static inline Right<T> as_stored(const T* data, long stride) {
    return {data, PANEL, stride};
}

struct Memory {  // lines of numbers of 32 bits, zero at first, 64 bytes aligned, freed together
    std::vector<void*> blocks;
    template <class T = float>
    T* take(size_t count) {
        static_assert(sizeof(T) == 4);
        const size_t bytes = (count * 4 + 127) / 64 * 64;
        blocks.push_back(nullptr);
        void* block = blocks.back() = std::aligned_alloc(64, bytes);
        if (!block) throw std::bad_alloc();
        std::memset(block, 0, bytes);
        return static_cast<T*>(block);
    }
    void clear() {
        for (void* block : blocks) std::free(block);
        blocks.clear();
    }
    ~Memory() { clear(); }
};

struct Lines {  // a matrix with a stride
    float* data = nullptr;
    long stride = 0;
    float* operator[](long row) const { return data + row * stride; }
};

// PAD floats lie before the first line, too: vectors of partners (model.h `rotated`) may begin before their line does.
static Lines make_lines(Memory& memory, long count, int columns) {
    const long stride = round_up(columns, 16) + PAD;
    return {memory.take(PAD + count * stride) + PAD, stride};
}

// Pairs from line to line; lines that are multiples of 512 bytes apart would share few sets of the cache.
static inline int pair_stride(int pairs) {
    const int whole = round_up(pairs, 16);
    return whole + (whole % 128 ? 0 : PAD);
}

// Two numbers that follow each other in the sum, as one element.
static inline void join(float& to, float first, float) { to = first; }
static inline void join(Pair& to, float first, float second) { to = rounded(first) | rounded(second) << 16; }

// A matrix copied into panels, so that a tile reads it in one line. Columns behind the last one are zero, and lines up to `depth`.
template <class T>
struct Packed {
    T* data = nullptr;
    int K = 0, N = 0;
    static long size(int K, int N) { return (long)elements<T>(depth<T>(K)) * round_up(N, PANEL); }
    Right<T> right() const { return {data, size(K, PANEL), PANEL}; }
    int deep() const { return depth<T>(K); }
    void make(Memory& memory, int rows, int columns) {
        K = rows, N = columns, data = memory.template take<T>(size(K, N));
    }

    void copy(const float* matrix, int columns) {  // [K, N] from rows of N, of which `columns` are there
        for (int n = 0; n < round_up(N, PANEL); n += PANEL) {
            T* to = data + size(K, n);
            for (int k = 0; k < K; k += EACH<T>, to += PANEL) {
                const int width = std::clamp(columns - n, 0, PANEL);
                const float *first = matrix + (long)k * columns + n, *second = first + columns;
                const bool paired = k + 1 < K;
                for (int i = 0; i < width; i++) join(to[i], first[i], paired ? second[i] : 0.0f);
                std::fill(to + width, to + PANEL, T(0));
            }
        }
    }
    void transpose(const float* matrix, long stride, int rows) {  // [K, N] from [N, K], of whose N rows `rows` are there
        for (int n = 0; n < round_up(N, PANEL); n += PANEL)
            for (int column = 0; column < PANEL; column++) {
                T* to = data + size(K, n) + column;
                const float* from = matrix + (n + column) * stride;
                const bool there = n + column < rows;
                for (int k = 0; k < K; k += EACH<T>, to += PANEL)
                    join(*to, there ? from[k] : 0.0f, there && k + 1 < K ? from[k + 1] : 0.0f);
            }
    }
};

// A matrix [rows, columns] of numbers T as products read it: on the left as it is or transposed, on the right as it is; from
// some row on, which must be even where the matrix is read in pairs of rows. It is written two rows at a time, from an even
// one. A copy (`make_copy`) of floats is no copy, but stands for the lines that are written into it.
template <class T>
class Matrix;

#if KC_AMX
// LANES x LANES elements turned over their diagonal, by rounds that swap ever larger squares.
static inline void turn(const Pair* from, long step, Pair* to, long row) {
    PairVec lines[LANES], lane;
    for (int i = 0; i < LANES; i++) lines[i] = load(from + i * step), lane[i] = i;
#pragma GCC unroll 4
    for (int d = 1; d < LANES; d *= 2) {
        const PairVec low = (lane & d) == 0 ? lane : lane - d + LANES, high = (lane & d) == 0 ? lane + d : lane + LANES;
        for (int i = 0; i < LANES; i++) {
            if (i & d) continue;
            const PairVec first = lines[i], second = lines[i + d];
            lines[i] = __builtin_shuffle(first, second, low);
            lines[i + d] = __builtin_shuffle(first, second, high);
        }
    }
    for (int i = 0; i < LANES; i++) store(to + i * row, lines[i]);
}
#endif

#if KC_BF16
template <>
class Matrix<Pair> {  // rounded to bf16 twice over: in pairs along the columns, and in pairs of rows
  public:
    void make(Memory& memory, long count, int columns) {  // `depth` numbers a line, or more
        by_column_stride = pair_stride(round_up(columns, 32) / 2), by_row_stride = pair_stride(columns);
        by_column = memory.take<Pair>((count + 1) * by_column_stride);
        by_row = memory.take<Pair>((count + 1) / 2 * by_row_stride);
    }
    void make_copy(Memory& memory, long count, int columns) { make(memory, count, columns); }
    void stand_for(const Lines&) {}
    typedef uint16_t Half __attribute__((may_alias));
    struct Row {
        const Half* from;
        Vec operator()(int column) const { return widened(*reinterpret_cast<const LooseHalfVec*>(from + column)); }
    };
    struct Rows {
        Half *first, *second;
        Pair* both;
        void put(int column, const Vec& x, const Vec& y) const {
            HalfVec one, other;
            PairVec pairs;
            round_rows(x, y, one, other, pairs);
            store(first + column, one), store(second + column, other), store(both + column, pairs);
        }
        void set(int which, int column, float x) const {
            (which ? second : first)[column] = reinterpret_cast<Half*>(both + column)[which] = rounded(x);
        }
    };
    Row row(long row) const { return {halves(row)}; }
    Rows rows(long row) const { return {halves(row), halves(row + 1), by_row + row / 2 * by_row_stride}; }
    Lines draft(const Lines& scratch, long = 0) const { return scratch; }
    Left<Pair> left(long row = 0) const { return {by_column + row * by_column_stride, by_column_stride, 1}; }
    Left<Pair> transposed(long row = 0) const { return {by_row + row / 2 * by_row_stride, 1, by_row_stride}; }
    Right<Pair> right(long row = 0) const { return as_stored<Pair>(by_row + row / 2 * by_row_stride, by_row_stride); }
#if KC_AMX
    // [to.K, to.N] from as many lines, with zeros behind what there is: both multiples of 2 LANES.
    void transpose(long row, int, Packed<Pair>& to) const {
        const Right<Pair> panels = to.right();
        for (int n = 0; n < to.N; n += LANES)
            for (int k = 0; k < to.K / 2; k += LANES)
                turn(by_column + (row + n) * by_column_stride + k, by_column_stride,
                     to.data + n / PANEL * panels.panel + k * PANEL + n % PANEL, PANEL);
    }
#endif

  private:
    Half* halves(long row) const { return reinterpret_cast<Half*>(by_column + row * by_column_stride); }
    Pair *by_column = nullptr, *by_row = nullptr;
    long by_column_stride = 0, by_row_stride = 0;
};
#endif

template <>
class Matrix<float> {  // the matrix itself
  public:
    void make(Memory& memory, long count, int columns) { lines = make_lines(memory, count + 1, columns); }
    void make_copy(Memory&, long, int) {}
    void stand_for(const Lines& others) { lines = others; }
    struct Row {
        const float* from;
        Vec operator()(int column) const { return load(from + column); }
    };
    struct Rows {
        float *first, *second;
        void put(int column, const Vec& x, const Vec& y) const { store(first + column, x), store(second + column, y); }
        void set(int which, int column, float x) const { (which ? second : first)[column] = x; }
    };
    Row row(long row) const { return {lines[row]}; }
    Rows rows(long row) const { return {lines[row], lines[row + 1]}; }
    Lines draft(const Lines&, long row = 0) const { return {lines[row], lines.stride}; }
    Left<float> left(long row = 0) const { return {lines[row], lines.stride, 1}; }
    Left<float> transposed(long row = 0) const { return {lines[row], 1, lines.stride}; }
    Right<float> right(long row = 0) const { return as_stored<float>(lines[row], lines.stride); }
    // [to.K, to.N] from `count` lines.
    void transpose(long row, int count, Packed<float>& to) const { to.transpose(lines[row], lines.stride, count); }

  private:
    Lines lines;
};

// The whole of `from`, behind whose last row there must be one of zeros if there is an odd number of them.
template <class T>
static void take(Matrix<T>& to, const Lines& from, int rows, int columns) {
    to.stand_for(from);
    if constexpr (std::is_same_v<T, float>) return;
    for (int row = 0; row < rows; row += 2)
        for (int i = 0; i < columns; i += LANES) to.rows(row).put(i, load(from[row] + i), load(from[row + 1] + i));
}

#if KC_BF16
using Number = Pair;
#else
using Number = float;
#endif
using Operand = Matrix<Number>;
