// Matrices in the forms that the products of product.h read. T is the type of an element: a float, or a pair of bf16
// numbers that are neighbors along the sum of the product.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <vector>

#include "vector.h"

constexpr int PANEL = 2 * LANES;  // columns of a tile
constexpr int PAD = 16;           // floats (64 bytes) after each row: vectors may read or write past its end

static inline int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

template <class T>
constexpr int NUMBERS_IN = std::is_same_v<T, float> ? 1 : 2;  // numbers in an element

// The number of elements that hold K numbers along the sum.
template <class T>
static inline int elements(int K) {
    return (K + NUMBERS_IN<T> - 1) / NUMBERS_IN<T>;
}

// The length of a sum of K numbers, padded to whole AMX tiles. The right factor is padded with zeros. The padding of
// the left factor must be finite where its K numbers are, since NaN · 0 is NaN.
template <class T>
static inline int padded_depth(int K) {
    return KC_AMX && NUMBERS_IN<T> == 2 ? round_up(K, 2 * LANES) : K;
}

// The left factor of a product: element (m, k) at data[m·row + k·step]. A matrix as stored has step 1, and its
// transpose has row 1.
template <class T>
struct Left {
    const T* data;
    long row, step;
    Left from(int m, int k) const { return {data + m * row + k * step, row, step}; }
};

// The right factor, in panels of PANEL columns: element (k, n) at data[n / PANEL · panel + k·step + n % PANEL].
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

struct Memory {  // blocks of 32-bit numbers, zero at first, aligned to 64 bytes, freed together
    std::vector<void*> blocks;
    template <class T = float>
    T* allocate(size_t count) {
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

struct View {  // a matrix of floats in memory that the view does not own
    float* data = nullptr;
    long stride = 0;
    float* operator[](long row) const { return data + row * stride; }
};

// PAD floats also lie before the first row: `rotated` of attention.h reads half a head before a row.
static View allocate_view(Memory& memory, long rows, int columns) {
    const long stride = round_up(columns, 16) + PAD;
    return {memory.allocate(PAD + rows * stride) + PAD, stride};
}

// The distance between rows, in pairs. It is no multiple of 512 bytes, since such rows would share few sets of the
// cache.
static inline int pair_stride(int pairs) {
    const int whole = round_up(pairs, 16);
    return whole + (whole % 128 ? 0 : PAD);
}

// Stores two neighbors along the sum as one element.
static inline void set_element(float& to, float first, float) { to = first; }
static inline void set_element(Pair& to, float first, float second) { to = rounded(first) | rounded(second) << 16; }

// A right factor [K, N], copied into panels that a tile reads from front to back. Columns after the last one and rows
// up to `padded_depth` are zero.
template <class T>
struct Packed {
    T* data = nullptr;
    int K = 0, N = 0;
    static long size(int K, int N) { return (long)elements<T>(::padded_depth<T>(K)) * round_up(N, PANEL); }
    Right<T> right() const { return {data, size(K, PANEL), PANEL}; }
    int padded_depth() const { return ::padded_depth<T>(K); }
    void allocate(Memory& memory, int rows, int columns) {
        K = rows, N = columns, data = memory.template allocate<T>(size(K, N));
    }

    // Packs a matrix [K, columns] that is stored by rows. Columns after it, up to N, become zero.
    void pack(const float* matrix, int columns) {
        for (int n = 0; n < round_up(N, PANEL); n += PANEL) {
            T* to = data + size(K, n);
            for (int k = 0; k < K; k += NUMBERS_IN<T>, to += PANEL) {
                const int width = std::clamp(columns - n, 0, PANEL);
                const float *first = matrix + (long)k * columns + n, *second = first + columns;
                const bool paired = k + 1 < K;
                for (int i = 0; i < width; i++) set_element(to[i], first[i], paired ? second[i] : 0.0f);
                std::fill(to + width, to + PANEL, T(0));
            }
        }
    }

    // Packs the transpose of a matrix [rows, K] whose rows are `stride` floats apart. Columns after it, up to N, become
    // zero.
    void pack_transposed(const float* matrix, long stride, int rows) {
        for (int n = 0; n < round_up(N, PANEL); n += PANEL)
            for (int column = 0; column < PANEL; column++) {
                T* to = data + size(K, n) + column;
                const float* from = matrix + (n + column) * stride;
                const bool exists = n + column < rows;
                for (int k = 0; k < K; k += NUMBERS_IN<T>, to += PANEL)
                    set_element(*to, exists ? from[k] : 0.0f, exists && k + 1 < K ? from[k + 1] : 0.0f);
            }
    }
};

// A matrix [rows, columns] that a product reads as its left or right factor, or transposed as its left factor, from any
// row on (from an even row on where pairs of rows are read). It is written two rows at a time, from an even row on.
//
// Code for both types of elements computes floats in a View, and keeps a rounded copy in a Matrix<Pair>. A
// Matrix<float> needs no copy: `allocate_copy` allocates nothing, and `alias` makes it the View itself. `staging`
// returns the rows in which floats are computed before `put`: its own rows, or the given scratch rows.
template <class T>
class Matrix;

#if KC_AMX
// Transposes LANES x LANES elements in rounds that swap ever larger squares.
static inline void transpose_square(const Pair* from, long step, Pair* to, long row) {
    PairVec rows[LANES], lane;
    for (int i = 0; i < LANES; i++) rows[i] = load(from + i * step), lane[i] = i;
#pragma GCC unroll 4
    for (int d = 1; d < LANES; d *= 2) {
        const PairVec low = (lane & d) == 0 ? lane : lane - d + LANES, high = (lane & d) == 0 ? lane + d : lane + LANES;
        for (int i = 0; i < LANES; i++) {
            if (i & d) continue;
            const PairVec first = rows[i], second = rows[i + d];
            rows[i] = __builtin_shuffle(first, second, low);
            rows[i + d] = __builtin_shuffle(first, second, high);
        }
    }
    for (int i = 0; i < LANES; i++) store(to + i * row, rows[i]);
}
#endif

#if KC_BF16
template <>
class Matrix<Pair> {  // rounded to bf16 and stored twice: as pairs of columns and as pairs of rows
  public:
    void allocate(Memory& memory, long rows, int columns) {  // at least `padded_depth` columns
        by_column_stride = pair_stride(round_up(columns, 32) / 2), by_row_stride = pair_stride(columns);
        by_column = memory.allocate<Pair>((rows + 1) * by_column_stride);
        by_row = memory.allocate<Pair>((rows + 1) / 2 * by_row_stride);
    }
    void allocate_copy(Memory& memory, long rows, int columns) { allocate(memory, rows, columns); }
    void alias(const View&) {}
    typedef uint16_t Half __attribute__((may_alias));
    struct Row {
        const Half* from;
        Vec operator()(int column) const { return widened(*reinterpret_cast<const LooseHalfVec*>(from + column)); }
    };
    struct RowPair {
        Half *first, *second;
        Pair* pairs;
        void put(int column, const Vec& x, const Vec& y) const {
            HalfVec low, high;
            PairVec both;
            round_rows(x, y, low, high, both);
            store(first + column, low), store(second + column, high), store(pairs + column, both);
        }
        // Writes a vector of zeros, for products that read the rows as a left factor.
        void pad(int column) const { store(first + column, HalfVec{}), store(second + column, HalfVec{}); }
        void set(int which, int column, float x) const {
            (which ? second : first)[column] = reinterpret_cast<Half*>(pairs + column)[which] = rounded(x);
        }
    };
    Row row(long row) const { return {halves(row)}; }
    RowPair row_pair(long row) const { return {halves(row), halves(row + 1), by_row + row / 2 * by_row_stride}; }
    View staging(const View& scratch, long = 0) const { return scratch; }
    Left<Pair> left(long row = 0) const { return {by_column + row * by_column_stride, by_column_stride, 1}; }
    Left<Pair> transposed(long row = 0) const { return {by_row + row / 2 * by_row_stride, 1, by_row_stride}; }
    Right<Pair> right(long row = 0) const { return as_stored<Pair>(by_row + row / 2 * by_row_stride, by_row_stride); }
#if KC_AMX
    // Writes the transpose [to.K, to.N] of to.N rows, starting at `row`. Both sizes are multiples of 2 LANES. The rows
    // must be padded with zeros.
    void transpose(long row, int, Packed<Pair>& to) const {
        const Right<Pair> panels = to.right();
        for (int n = 0; n < to.N; n += LANES)
            for (int k = 0; k < to.K / 2; k += LANES)
                transpose_square(by_column + (row + n) * by_column_stride + k, by_column_stride,
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
class Matrix<float> {
  public:
    void allocate(Memory& memory, long rows, int columns) { view = allocate_view(memory, rows + 1, columns); }
    void allocate_copy(Memory&, long, int) {}
    void alias(const View& other) { view = other; }
    struct Row {
        const float* from;
        Vec operator()(int column) const { return load(from + column); }
    };
    struct RowPair {
        float *first, *second;
        void put(int column, const Vec& x, const Vec& y) const { store(first + column, x), store(second + column, y); }
        void pad(int) const {}
        void set(int which, int column, float x) const { (which ? second : first)[column] = x; }
    };
    Row row(long row) const { return {view[row]}; }
    RowPair row_pair(long row) const { return {view[row], view[row + 1]}; }
    View staging(const View&, long row = 0) const { return {view[row], view.stride}; }
    Left<float> left(long row = 0) const { return {view[row], view.stride, 1}; }
    Left<float> transposed(long row = 0) const { return {view[row], 1, view.stride}; }
    Right<float> right(long row = 0) const { return as_stored<float>(view[row], view.stride); }
    // Writes the transpose [to.K, to.N] of `rows` rows, starting at `row`.
    void transpose(long row, int rows, Packed<float>& to) const { to.pack_transposed(view[row], view.stride, rows); }

  private:
    View view;
};

// Copies the numbers of `from` to a matrix that `allocate_copy` allocated. An odd number of rows must be followed by a
// row of zeros.
template <class T>
static void copy_rows(Matrix<T>& to, const View& from, int rows, int columns) {
    to.alias(from);
    if constexpr (std::is_same_v<T, float>) return;
    for (int row = 0; row < rows; row += 2)
        for (int i = 0; i < columns; i += LANES) to.row_pair(row).put(i, load(from[row] + i), load(from[row + 1] + i));
}

// Writes zeros to two rows of a matrix, from column `first` to `end`.
template <class T>
static void put_zeros(Matrix<T>& to, long row, int first, int end) {
    const auto rows = to.row_pair(row);
    for (int i = first; i < end; i += LANES) rows.put(i, Vec{}, Vec{});
}

#if KC_BF16
using Number = Pair;
#else
using Number = float;
#endif
using Operand = Matrix<Number>;  // a factor of the products of linear layers
