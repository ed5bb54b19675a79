// AdamW and Muon, for one parameter at a time.
#pragma once

#include <cmath>

#include "product.h"

// The factor that limits the joint norm of all gradients to `most`, as torch's clip_grad_norm_ does.
static float clip_factor(const float* const* grads, const int64_t* sizes, int count, float most) {
    double squares = 0;
    for (int p = 0; p < count; p++) {
        Vec total{};
        int64_t i = 0;
        for (; i + LANES <= sizes[p]; i += LANES) total += load(grads[p] + i) * load(grads[p] + i);
        for (; i < sizes[p]; i++) squares += (double)grads[p][i] * grads[p][i];
        squares += sum(total);
    }
    const float factor = most / ((float)std::sqrt(squares) + 1e-6f);
    return factor >= 1 ? 1 : factor;  // NaN if a gradient is NaN
}

static void adamw(float* w, const float* grad, float* mean, float* square, float* step, int64_t size, float factor,
                  double lr, double decay, double beta1, double beta2, double eps) {
    const double t = *step += 1;
    const float rate = lr / (1 - std::pow(beta1, t)), root = 1 / std::sqrt(1 - std::pow(beta2, t));
    const float keep = 1 - lr * decay, b1 = beta1, b2 = beta2, c1 = 1 - beta1, c2 = 1 - beta2, floor = eps;
    for (int64_t i = 0; i < size; i++) {
        const float g = grad[i] * factor;
        mean[i] = b1 * mean[i] + c1 * g;
        square[i] = b2 * square[i] + c2 * g * g;
        w[i] = w[i] * keep - rate * mean[i] / (std::sqrt(square[i]) * root + floor);
    }
}

// Muon for a matrix [rows, columns]. With `heads`, its rows are [heads, 3, rows / 3 / heads], and q, k and v are
// orthogonalized separately.
class Muon {
  public:
    void step(float* w, const float* grad, float* average, int rows, int columns, int heads, float factor, float lr,
              float decay, float momentum) {
        const int maps = heads ? 3 : 1, outputs = rows / maps;
        const int head = heads ? outputs / heads : outputs;
        const bool tall = outputs > columns;
        const int R = tall ? columns : outputs, C = tall ? outputs : columns;
        reserve(R, C);
        const float length = lr * std::sqrt(std::max(1.0f, (float)outputs / columns));
        for (int map = 0; map < maps; map++) {
            auto row_of = [&](int r) { return heads ? ((long)(r / head) * 3 + map) * head + r % head : (long)r; };
            double squares = 0;
            for (int r = 0; r < outputs; r++) {
                const long at = row_of(r) * columns;
                float line = 0;
                for (int c = 0; c < columns; c++) {
                    const float g = grad[at + c] * factor;
                    const float a = average[at + c] += (1 - momentum) * (g - average[at + c]);
                    const float u = g + momentum * (a - g);
                    (tall ? x[c][r] : x[r][c]) = u;
                    line += u * u;
                }
                squares += line;
            }
            const float inverse = 1.0f / std::max((float)std::sqrt(squares), 1e-7f);
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++) x[r][c] *= inverse;
            for (int round = 0; round < STEPS; round++) newton_schulz(R, C);
            for (int r = 0; r < outputs; r++) {
                const long at = row_of(r) * columns;
                for (int c = 0; c < columns; c++)
                    w[at + c] = w[at + c] * (1 - lr * decay) - length * (tall ? x[c][r] : x[r][c]);
            }
        }
    }

  private:
    static constexpr float A = 3.4445f, B = -4.7750f, D = 2.0315f;  // Jordan's quintic, as in train/optimizers/muon.py
    static constexpr int STEPS = 5;
    Memory memory;
    View x, next, gram, square;
    Operand x_copy, square_copy;  // x and a square matrix in the form that products read
    Packed<Number> transposed;
    int R = 0, C = 0;

    void reserve(int rows, int columns) {
        if (rows == R && columns == C) return;
        R = C = 0;  // until all is allocated
        memory.clear();
        auto allocate = [&](int width) { return allocate_view(memory, rows + 1, round_up(width, PANEL)); };
        x = allocate(columns), next = allocate(columns), gram = allocate(rows), square = allocate(rows);
        const int depth = padded_depth<Number>(rows);  // rows after the last one stay zero
        x_copy.allocate_copy(memory, depth, columns), square_copy.allocate_copy(memory, depth, rows);
        transposed.allocate(memory, columns, rows);
        R = rows, C = columns;
    }

    // x <- a·x + (b·g + c·g²)·x with g = x·xᵀ
    void newton_schulz(int R, int C) {
        const int lanes_R = round_up(R, LANES), lanes_C = round_up(C, LANES), depth = padded_depth<Number>(R);
        transposed.pack_transposed(x.data, x.stride, R);
        copy_rows(x_copy, x, R, C);
        product(R, lanes_R, transposed.padded_depth(), x_copy.left(), transposed.right(), gram.data, gram.stride);
        copy_rows(square_copy, gram, R, R);
        product(R, lanes_R, depth, square_copy.left(), square_copy.right(), square.data, square.stride);
        for (int r = 0; r < R; r++)
            for (int c = 0; c < R; c++) square[r][c] = B * gram[r][c] + D * square[r][c] + (r == c ? A : 0.0f);
        copy_rows(square_copy, square, R, R);
        product(R, lanes_C, depth, square_copy.left(), x_copy.right(), next.data, next.stride);
        std::swap(x, next);
    }
};
