// Forward and backward pass of the model of train/model.py: a few rows of tokens at a time go through all layers and
// back, so that what the backward pass needs is still in the cache, and logits exist for CHUNK tokens only.
#pragma once

#include <cmath>
#include <vector>

#include "product.h"

constexpr float NORM_EPS = 1e-5f;
constexpr int IGNORE = -1;
constexpr int CHUNK = 48;          // tokens whose logits exist at a time
constexpr int GROUP_TOKENS = 256;  // tokens that go through the layers together, about

// Attention's numbers, how many lines of a row and head it does together, and whether zeros fill up the last of them.
#if KC_AMX
using Attended = Pair;
constexpr int BLOCK = 2 * EDGE;
constexpr bool WHOLE_BLOCKS = true;
#else
using Attended = float;
constexpr int BLOCK = TILE_ROWS;
constexpr bool WHOLE_BLOCKS = false;
#endif

// The parameters of a block, in the order of `model.parameters()`: weights are [out, in].
enum { NORM1, NORM1_BIAS, QKV, QKV_BIAS, OUT, OUT_BIAS, NORM2, NORM2_BIAS, UP, UP_BIAS, DOWN, DOWN_BIAS, A_BLOCK };

struct Norm {  // a layer norm's outputs, and what its backward pass needs
    Operand normed;
    Lines hat;
    float* scale = nullptr;  // 1 / standard deviation
};

struct Kept {  // of one layer, for the backward pass
    Norm norm1, norm2;
    Matrix<Attended> q, k, v, p;  // a row and head at a time: [time, head], and attention [time, time]
    Operand mixed, gelu;
    Lines slope;
};

struct Weights {  // of one layer, packed once a step
    Packed<Number> qkv, out, up, down;                      // for the forward pass: [in, out]
    Packed<Number> qkv_back, out_back, up_back, down_back;  // for gradients of activations: [out, in]
};

class Model {
  public:
    const int layers, width, heads, vocab, head;

    Model(int layers, int width, int heads, int vocab)
        : layers(layers), width(width), heads(heads), vocab(vocab), head(width / heads), kept(layers), weights(layers) {
        auto make = [&](Packed<Number>& packed, int K, int N) { packed.make(fixed, K, N); };
        const int W = width;
        for (Weights& w : weights) {
            make(w.qkv, W, 3 * W), make(w.out, W, W), make(w.up, W, 4 * W), make(w.down, 4 * W, W);
            make(w.qkv_back, 3 * W, W), make(w.out_back, W, W), make(w.up_back, 4 * W, W), make(w.down_back, W, 4 * W);
        }
        make(embedding, W, round_up(vocab, LANES));
        make(embedding_back, vocab, W);
        logits = make_lines(fixed, CHUNK, round_up(vocab, LANES));
        errors.make_copy(fixed, CHUNK, round_up(vocab, LANES)), errors.take(logits, 0, 0);
        scaled.make(fixed, CHUNK, W);
    }

    // Sum over targets of the cross-entropy in nats. `grads` (or null: none) receive the gradients of scale · sum.
    // nats and correct (or null) receive each token's loss and whether its target has the largest logit.
    // cos, sin [time, head / 2]: the angles of train/model.py `rotation`.
    double run(const float* const* parameters, float* const* grads, const int32_t* inputs, const int32_t* targets, int rows,
               int time, const float* cos, const float* sin, float scale, float* nats, bool* correct) {
        P = parameters, G = grads, this->cos = cos, this->sin = sin;
        const int group = std::max(1, std::min(rows, GROUP_TOKENS / padded(time)));
        reserve(group, time);
        pack();
        double total = 0;
        for (int row = 0; row < rows; row += group) {
            const long first = (long)row * time;
            this->rows = std::min(group, rows - row);
            tokens = this->rows * time;
            forward(inputs + first);
            total += head_pass(targets + first, scale, nats ? nats + first : nullptr, correct ? correct + first : nullptr);
            if (G) backward(inputs + first);
        }
        return total;
    }

  private:
    std::vector<Kept> kept;
    std::vector<Weights> weights;
    Memory fixed, sized;
    Packed<Number> embedding, embedding_back;
    Lines logits, x, wide, d_x, d_normed, scores;
    Operand errors, scaled, d_wide, d_out;  // of logits, and as products read them: wide or d_x when they are gradients
    Norm last;
    // Of one row and head: keys or values transposed [head, time], gradients of the output [time, head] and of scores.
    Packed<Attended> turned;
    Matrix<Attended> d_mixed, d_scores;
    Lines o, d_q, d_k, d_v;  // the output and gradients [time, head]
    Lines scratch;  // a line of zeros behind `head` numbers; it and `scores`, a block, are for what must be rounded
    const int head_columns = round_up(head, LANES), head_depth = WHOLE_BLOCKS ? round_up(head, BLOCK) : head;
    bool keeps_all = false;  // layers, for a backward pass; scores need one layer at a time
    int most_tokens = 0, most_lines = 0, most_time = 0, rows = 0, tokens = 0;
    int time = 0, lines = 0;  // of a window: its tokens, and with those that fill the last block
    const float* const* P = nullptr;
    float* const* G = nullptr;
    const float *cos = nullptr, *sin = nullptr;

    const float* parameter(int layer, int which) const { return P[1 + layer * A_BLOCK + which]; }
    float* grad(int layer, int which) const { return G[1 + layer * A_BLOCK + which]; }

    // Buffers for the largest group so far: short windows use a part of them.
    void reserve(int rows, int time) {
        this->time = time, lines = padded(time), turned.K = head_depth, turned.N = lines;
        const bool fits = rows * time <= most_tokens && rows * lines <= most_lines && lines <= most_time;
        if (fits && keeps_all >= (G != nullptr)) return;
        const int M = std::max(most_tokens, rows * time), longest = std::max(most_time, lines);
        const int all = std::max(most_lines, rows * lines);
        sized.clear();
        most_tokens = most_lines = most_time = 0;  // until all of it is there
        keeps_all |= G != nullptr;
        auto make = [&](int columns) { return make_lines(sized, M, columns); };
        auto make_norm = [&](Norm& norm) {
            norm.normed.make(sized, M, width), norm.hat = make(width), norm.scale = sized.take(M);
        };
        for (int l = 0; l < (keeps_all ? layers : 1); l++) {
            Kept& k = kept[l];
            make_norm(k.norm1), make_norm(k.norm2), k.mixed.make(sized, M, width);
            k.gelu.make(sized, M, 4 * width), k.slope = make(4 * width);
            for (Matrix<Attended>* each : {&k.q, &k.k, &k.v}) each->make(sized, (long)all * heads, head_depth);
            k.p.make(sized, (long)all * heads, longest);
        }
        make_norm(last);
        x = make(width), d_x = make(width), d_normed = make(width), wide = make(4 * width);
        d_wide.make_copy(sized, M, 4 * width), d_out.make_copy(sized, M, width);
        turned.data = sized.take<Attended>(Packed<Attended>::size(head_depth, longest));
        d_mixed.make(sized, longest, head_depth), d_scores.make(sized, longest, longest);
        for (Lines* each : {&o, &d_q, &d_k, &d_v}) *each = make_lines(sized, longest, head_columns);
        if (WHOLE_BLOCKS) scratch = {sized.take(head_columns), 0}, scores = make_lines(sized, BLOCK, longest);
        most_tokens = M, most_lines = all, most_time = longest;
    }

    static int padded(int time) { return WHOLE_BLOCKS ? round_up(time, BLOCK) : time; }

    void pack() {
        embedding.transpose(P[0], width, vocab);
        for (int l = 0; l < layers; l++) {
            Weights& w = weights[l];
            w.qkv.transpose(parameter(l, QKV), width, 3 * width), w.out.transpose(parameter(l, OUT), width, width);
            w.up.transpose(parameter(l, UP), width, 4 * width), w.down.transpose(parameter(l, DOWN), 4 * width, width);
            if (!G) continue;
            w.qkv_back.copy(parameter(l, QKV), width), w.out_back.copy(parameter(l, OUT), width);
            w.up_back.copy(parameter(l, UP), width), w.down_back.copy(parameter(l, DOWN), 4 * width);
        }
        if (G) embedding_back.copy(P[0], width);
    }

    void normalize(Norm& norm, const float* gain, const float* bias) const {
        for (int m = 0; m < tokens; m++) {
            const float* from = x[m];
            Vec total{}, squares{};
            for (int i = 0; i < width; i += LANES) total += load(from + i);
            const float mean = sum(total) / width;
            for (int i = 0; i < width; i += LANES) {
                const Vec off = load(from + i) - mean;
                squares += off * off;
            }
            const float scale = 1.0f / std::sqrt(sum(squares) / width + NORM_EPS);
            for (int i = 0; i < width; i += LANES) {
                const Vec hat = (load(from + i) - mean) * scale;
                store(norm.hat[m] + i, hat);
                norm.normed.put(m, i, hat * load(gain + i) + load(bias + i));
            }
            norm.scale[m] = scale;
        }
    }

    // Adds the gradient through a norm to d_x; d_normed is the gradient of its outputs.
    void normalize_back(const Norm& norm, const float* gain, float* d_gain, float* d_bias) const {
        for (int m = 0; m < tokens; m++) {
            const float *d = d_normed[m], *hat = norm.hat[m];
            Vec total{}, along{};
            for (int i = 0; i < width; i += LANES) {
                const Vec dn = load(d + i), h = load(hat + i), dh = dn * load(gain + i);
                store(d_gain + i, load(d_gain + i) + dn * h);
                store(d_bias + i, load(d_bias + i) + dn);
                total += dh;
                along += dh * h;
            }
            const float mean = sum(total) / width, slope = sum(along) / width, scale = norm.scale[m];
            for (int i = 0; i < width; i += LANES) {
                const Vec dh = load(d + i) * load(gain + i) - mean - load(hat + i) * slope;
                store(d_x[m] + i, load(d_x[m] + i) + dh * scale);
            }
        }
    }

    void forward(const int32_t* inputs) {
        const int W = width;
        for (int m = 0; m < tokens; m++) std::copy_n(P[0] + (long)inputs[m] * W, W, x[m]);
        for (int l = 0; l < layers; l++) {
            Kept& k = kept[G ? l : 0];
            const Weights& w = weights[l];
            normalize(k.norm1, parameter(l, NORM1), parameter(l, NORM1_BIAS));
            product(tokens, 3 * W, W, k.norm1.normed.left(), w.qkv.right(), wide.data, wide.stride, parameter(l, QKV_BIAS));
            for (int row = 0; row < rows; row++)
                for (int h = 0; h < heads; h++) attend(k, row, h);
            k.mixed.take(k.mixed.draft(d_normed), tokens, W);
            add_bias(x, parameter(l, OUT_BIAS));
            product(tokens, W, W, k.mixed.left(), w.out.right(), x.data, x.stride, nullptr, true);
            normalize(k.norm2, parameter(l, NORM2), parameter(l, NORM2_BIAS));
            product(tokens, 4 * W, W, k.norm2.normed.left(), w.up.right(), wide.data, wide.stride, parameter(l, UP_BIAS));
            activate(k);
            add_bias(x, parameter(l, DOWN_BIAS));
            product(tokens, W, 4 * W, k.gelu.left(), w.down.right(), x.data, x.stride, nullptr, true);
        }
        normalize(last, P[1 + layers * A_BLOCK], P[2 + layers * A_BLOCK]);
    }

    void add_bias(const Lines& lines, const float* bias) const {
        for (int m = 0; m < tokens; m++)
            for (int i = 0; i < width; i += LANES) store(lines[m] + i, load(lines[m] + i) + load(bias + i));
    }

    // GELU by tanh, which is z·σ(2u) with u = √(2/π)·(z + 0.044715·z³), and its derivative.
    void activate(Kept& k) const {
        const float a = 0.7978845608f, b = 0.044715f;
        for (int m = 0; m < tokens; m++)
            for (int i = 0; i < 4 * width; i += LANES) {
                const Vec z = load(wide[m] + i), square = z * z;
                const Vec sigmoid = 1.0f / (1.0f + exponential(z * (square * b + 1.0f) * (-2.0f * a)));
                const Vec value = z * sigmoid;
                k.gelu.put(m, i, value);
                store(k.slope[m] + i, sigmoid + value * (1.0f - sigmoid) * (square * (3 * b) + 1.0f) * (2 * a));
            }
    }

    // The first line of a row and head in q, k, v and p.
    long place(int row, int h) const { return ((long)row * heads + h) * lines; }

    // A window [time, head] of q, k, v or d_mixed from line `at` on, zeros behind it; `write` makes the `head` numbers of a line.
    template <class F>
    void fill(Matrix<Attended>& to, long at, F write) const {
        const Lines from = to.draft(scratch, at);
        for (int t = 0; t < time; t++) write(t, from[t]), to.take_row(at + t, from[t], head_columns);
        for (int t = time; t < lines; t++) clear(to, at + t, head_columns);
    }

    static void clear(Matrix<Attended>& to, long row, int columns) {
        for (int i = 0; i < columns; i += LANES) to.put(row, i, Vec{});
    }

    // So many columns of a line are read of which `count` are seen: those of its block.
    static int reach(int count) { return WHOLE_BLOCKS ? round_up(count, BLOCK) : count + PAD; }

    // For each block of lines: from[t] · turned[s] for s <= t (and a few more) is drafted at to[t]; `finish` makes a line of
    // `to` of it; then `use` takes the block.
    template <class F, class U>
    void by_blocks(const Matrix<Attended>& from, long from_at, Matrix<Attended>& to, long to_at, F finish, U use) {
        for (int t = 0; t < lines; t += BLOCK) {
            const int count = std::min(BLOCK, lines - t);
            const Lines draft = to.draft(scores, to_at + t);
            product(count, round_up(t + count, LANES), head_depth, from.left(from_at + t), turned.right(), draft[0], draft.stride);
            for (int i = 0; i < count; i++)
                if (t + i < time)
                    finish(t + i, draft[i]), to.take_row(to_at + t + i, draft[i], reach(t + i + 1));
                else
                    clear(to, to_at + t + i, lines);
            use(t, count);
        }
    }

    void attend(Kept& kept, int row, int h) {
        const int half = head / 2;
        const long at = place(row, h);
        auto from = [&](int t, int which) { return wide[row * time + t] + (3 * h + which) * head; };
        auto rotated = [&](int which, float scale) {
            return [=](int t, float* to) {
                const float *line = from(t, which), *c = cos + t * half, *s = sin + t * half;
                for (int i = 0; i < half; i++) {
                    const float a = line[i], b = line[i + half];
                    to[i] = (a * c[i] - b * s[i]) * scale, to[i + half] = (b * c[i] + a * s[i]) * scale;
                }
            };
        };
        fill(kept.q, at, rotated(0, 1.0f / std::sqrt((float)head)));
        fill(kept.k, at, rotated(1, 1.0f));
        fill(kept.v, at, [&](int t, float* to) { std::copy_n(from(t, 2), head, to); });
        kept.k.transpose(at, time, turned);
        by_blocks(
            kept.q, at, kept.p, at, [](int t, float* line) { softmax(line, t + 1); },
            [&](int t, int count) {
                product(count, head_columns, t + count, kept.p.left(at + t), kept.v.right(at), o[t], o.stride);
            });
        const Lines mixed = kept.mixed.draft(d_normed);
        for (int t = 0; t < time; t++) std::copy_n(o[t], head, mixed[row * time + t] + h * head);
    }

    // In place over the first `count`; behind them zeros, as far as products reach.
    static void softmax(float* line, int count) {
        const int end = round_up(count, LANES);
        for (int s = count; s < end; s++) line[s] = -1e30f;
        Vec most = load(line);
        for (int s = LANES; s < end; s += LANES) most = larger(most, load(line + s));
        const float top = largest(most);
        Vec total{};
        for (int s = 0; s < end; s += LANES) {
            const Vec e = exponential(load(line + s) - top);
            store(line + s, e);
            total += e;
        }
        const float scale = 1.0f / sum(total);
        for (int s = 0; s < end; s += LANES) store(line + s, load(line + s) * scale);
        std::fill(line + count, line + reach(count), 0.0f);
    }

    void attend_back(const Kept& kept, int row, int h) {
        const int half = head / 2;
        const long at = place(row, h);
        fill(d_mixed, 0, [&](int t, float* to) { std::copy_n(d_normed[row * time + t] + h * head, head, to); });
        kept.v.transpose(at, time, turned);
        by_blocks(
            d_mixed, 0, d_scores, 0,
            [&](int t, float* d) {
                Vec along{};
                for (int s = t + 1; s < round_up(t + 1, LANES); s++) d[s] = 0;
                for (int s = 0; s <= t; s += LANES) along += kept.p.get(at + t, s) * load(d + s);
                const float mean = sum(along);
                for (int s = 0; s <= t; s += LANES) store(d + s, kept.p.get(at + t, s) * (load(d + s) - mean));
                std::fill(d + t + 1, d + reach(t + 1), 0.0f);
            },
            [&](int t, int count) {
                product(count, head_columns, t + count, d_scores.left(t), kept.k.right(at), d_q[t], d_q.stride);
            });
        for (int t = 0; t < lines; t += BLOCK) {
            const int count = std::min(BLOCK, lines - t), later = lines - t;
            const Left<Attended> after = d_scores.transposed(t).from(t, 0), looks = kept.p.transposed(at + t).from(t, 0);
            product(count, head_columns, later, after, kept.q.right(at + t), d_k[t], d_k.stride);
            product(count, head_columns, later, looks, d_mixed.right(t), d_v[t], d_v.stride);
        }
        const float scale = 1.0f / std::sqrt((float)head);
        for (int t = 0; t < time; t++) {
            float* to = wide[row * time + t] + 3 * h * head;
            const float *c = cos + t * half, *s = sin + t * half, *q = d_q[t], *k = d_k[t];
            for (int i = 0; i < half; i++) {
                const float a = q[i], b = q[i + half], e = k[i], f = k[i + half];
                to[i] = (a * c[i] + b * s[i]) * scale, to[i + half] = (b * c[i] - a * s[i]) * scale;
                to[head + i] = e * c[i] + f * s[i], to[head + i + half] = f * c[i] - e * s[i];
            }
            std::copy_n(d_v[t], head, to + 2 * head);
        }
    }

    // The head: losses by CHUNK tokens, and with gradients d_normed and the embedding's gradient as an output matrix.
    double head_pass(const int32_t* targets, float scale, float* nats, bool* correct) {
        double total = 0;
        const int columns = round_up(vocab, LANES);
        for (int first = 0; first < tokens; first += CHUNK) {
            const int count = std::min(CHUNK, tokens - first);
            product(count, columns, width, last.normed.left(first), embedding.right(), logits.data, logits.stride);
            float factor[CHUNK];
            for (int m = 0; m < count; m++) {
                const int target = targets[first + m];
                float* z = logits[m];
                std::fill(z + vocab, z + columns, -1e30f);
                Vec most = load(z), sums{};
                for (int i = LANES; i < columns; i += LANES) most = larger(most, load(z + i));
                const float top = largest(most), chosen = target == IGNORE ? top : z[target];
                if (correct) correct[first + m] = target != IGNORE && chosen == top && std::find(z, z + target, top) == z + target;
                for (int i = 0; i < columns; i += LANES) {
                    const Vec e = exponential(load(z + i) - top);
                    store(z + i, e);
                    sums += e;
                }
                const float partition = sum(sums), loss = target == IGNORE ? 0 : std::log(partition) + top - chosen;
                total += loss;
                if (nats) nats[first + m] = loss;
                if (!G) continue;
                if (target != IGNORE) z[target] -= partition;
                errors.take_row(m, z, columns);
                // d loss / d logits = (e^z − partition·[target]) / partition; the division is left to shorter lines.
                factor[m] = target == IGNORE ? 0 : scale / partition;
            }
            if (!G) continue;
            product(count, width, vocab, errors.left(), embedding_back.right(), d_normed[first], d_normed.stride);
            for (int m = 0; m < count; m++)
                for (int i = 0; i < width; i += LANES) {
                    store(d_normed[first + m] + i, load(d_normed[first + m] + i) * factor[m]);
                    scaled.put(m, i, last.normed.get(first + m, i) * factor[m]);
                }
            product(vocab, width, count, errors.transposed(), scaled.right(), G[0], width, nullptr, true);
        }
        return total;
    }

    void backward(const int32_t* inputs) {
        const int W = width;
        for (int m = 0; m < tokens; m++) std::fill_n(d_x[m], W, 0.0f);
        normalize_back(last, P[1 + layers * A_BLOCK], G[1 + layers * A_BLOCK], G[2 + layers * A_BLOCK]);
        for (int l = layers - 1; l >= 0; l--) {
            const Kept& k = kept[l];
            const Weights& w = weights[l];
            weight_back(d_x, W, d_out, k.gelu, 4 * W, grad(l, DOWN), grad(l, DOWN_BIAS));
            product(tokens, 4 * W, W, d_out.left(), w.down_back.right(), wide.data, wide.stride);
            for (int m = 0; m < tokens; m++)
                for (int i = 0; i < 4 * W; i += LANES) store(wide[m] + i, load(wide[m] + i) * load(k.slope[m] + i));
            weight_back(wide, 4 * W, d_wide, k.norm2.normed, W, grad(l, UP), grad(l, UP_BIAS));
            product(tokens, W, 4 * W, d_wide.left(), w.up_back.right(), d_normed.data, d_normed.stride);
            normalize_back(k.norm2, parameter(l, NORM2), grad(l, NORM2), grad(l, NORM2_BIAS));

            weight_back(d_x, W, d_out, k.mixed, W, grad(l, OUT), grad(l, OUT_BIAS));
            product(tokens, W, W, d_out.left(), w.out_back.right(), d_normed.data, d_normed.stride);
            for (int row = 0; row < rows; row++)
                for (int h = 0; h < heads; h++) attend_back(k, row, h);
            weight_back(wide, 3 * W, d_wide, k.norm1.normed, W, grad(l, QKV), grad(l, QKV_BIAS));
            product(tokens, W, 3 * W, d_wide.left(), w.qkv_back.right(), d_normed.data, d_normed.stride);
            normalize_back(k.norm1, parameter(l, NORM1), grad(l, NORM1), grad(l, NORM1_BIAS));
        }
        for (int m = 0; m < tokens; m++) {
            float* to = G[0] + (long)inputs[m] * W;
            for (int i = 0; i < W; i += LANES) store(to + i, load(to + i) + load(d_x[m] + i));
        }
    }

    // Adds d_out^T · in [outputs, inputs] and the sums of d_out to the gradients of a matrix and its bias; leaves d_out in
    // `read`, as products read it.
    void weight_back(const Lines& d_out, int outputs, Operand& read, const Operand& in, int inputs, float* d_weight,
                     float* d_bias) const {
        read.take(d_out, tokens, outputs);
        product(outputs, inputs, tokens, read.transposed(), in.right(), d_weight, inputs, nullptr, true);
        for (int m = 0; m < tokens; m++)
            for (int i = 0; i < outputs; i += LANES) store(d_bias + i, load(d_bias + i) + load(d_out[m] + i));
    }
};
