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

// The parameters of a block, in the order of `model.parameters()`: weights are [out, in].
enum { NORM1, NORM1_BIAS, QKV, QKV_BIAS, OUT, OUT_BIAS, NORM2, NORM2_BIAS, UP, UP_BIAS, DOWN, DOWN_BIAS, A_BLOCK };

struct Norm {  // a layer norm's outputs, and what its backward pass needs
    Operand normed;
    Lines hat;
    float* scale = nullptr;  // 1 / standard deviation
};

struct Kept {  // of one layer, for the backward pass
    Norm norm1, norm2;
    float *q, *k, *v, *p;  // a row and head at a time: q, k, v [time, head], attention [time, time]
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
        const int group = std::max(1, std::min(rows, GROUP_TOKENS / time));
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
    Packed<float> turned;        // keys or values of one row and head, transposed: [head, time]
    float *o, *d_q, *d_k, *d_v;  // an output of one row and head, and gradients: [time, head]
    bool keeps_all = false;  // layers, for a backward pass; scores need one layer at a time
    int most_tokens = 0, most_time = 0, time = 0, padded_time = 0, padded_head = 0, rows = 0, tokens = 0;
    const float* const* P = nullptr;
    float* const* G = nullptr;
    const float *cos = nullptr, *sin = nullptr;

    const float* parameter(int layer, int which) const { return P[1 + layer * A_BLOCK + which]; }
    float* grad(int layer, int which) const { return G[1 + layer * A_BLOCK + which]; }

    // Buffers for the largest group so far: short windows use a part of them.
    void reserve(int rows, int time) {
        this->time = time, turned.K = head, turned.N = time;
        if (rows * time <= most_tokens && time <= most_time && keeps_all >= (G != nullptr)) return;
        const int M = std::max(most_tokens, rows * time), longest = std::max(most_time, time);
        padded_time = round_up(longest, 16) + PAD, padded_head = round_up(head, 16) + PAD;
        sized.clear();
        most_tokens = most_time = 0;  // until all of it is there
        keeps_all |= G != nullptr;
        auto lines = [&](int columns) { return make_lines(sized, M, columns); };
        auto make_norm = [&](Norm& norm) {
            norm.normed.make(sized, M, width), norm.hat = lines(width), norm.scale = sized.take(M);
        };
        auto by_head = [&](long tokens) { return sized.take((size_t)tokens * padded_head); };
        for (int l = 0; l < (keeps_all ? layers : 1); l++) {
            Kept& k = kept[l];
            make_norm(k.norm1), make_norm(k.norm2), k.mixed.make(sized, M, width);
            k.gelu.make(sized, M, 4 * width), k.slope = lines(4 * width);
            k.q = by_head((long)M * heads), k.k = by_head((long)M * heads), k.v = by_head((long)M * heads);
            k.p = sized.take((size_t)M * heads * padded_time);
        }
        make_norm(last);
        x = lines(width), d_x = lines(width), d_normed = lines(width), wide = lines(4 * width);
        d_wide.make_copy(sized, M, 4 * width), d_out.make_copy(sized, M, width);
        scores = {sized.take((size_t)longest * padded_time), padded_time};
        turned.data = sized.take(Packed<float>::size(head, longest));
        o = by_head(longest), d_q = by_head(longest), d_k = by_head(longest), d_v = by_head(longest);
        most_tokens = M, most_time = longest;
    }

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

    // Where a row and head keep q, k, v and the attention.
    size_t place(int row, int h) const { return ((size_t)row * heads + h) * time; }

    void attend(const Kept& kept, int row, int h) {
        const int half = head / 2, D = padded_head, T = padded_time;
        float *q = kept.q + place(row, h) * D, *k = kept.k + place(row, h) * D, *v = kept.v + place(row, h) * D;
        const float scale = 1.0f / std::sqrt((float)head);
        for (int t = 0; t < time; t++) {
            const float* from = wide[row * time + t] + 3 * h * head;
            const float *c = cos + t * half, *s = sin + t * half;
            for (int i = 0; i < half; i++) {
                const float a = from[i], b = from[i + half], e = from[head + i], f = from[head + i + half];
                q[t * D + i] = (a * c[i] - b * s[i]) * scale, q[t * D + i + half] = (b * c[i] + a * s[i]) * scale;
                k[t * D + i] = e * c[i] - f * s[i], k[t * D + i + half] = f * c[i] + e * s[i];
            }
            std::copy_n(from + 2 * head, head, v + t * D);
        }
        const Lines p{kept.p + place(row, h) * T, T}, mixed = kept.mixed.draft(d_normed);
        turned.transpose(k, D, time);
        scores_of(q, p);
        for (int t = 0; t < time; t++) softmax(p[t], t + 1);
        for (int t = 0; t < time; t += TILE_ROWS) {
            const int count = std::min(TILE_ROWS, time - t);
            product(count, D - PAD, t + count, Left<float>{p[t], T, 1}, as_stored<float>(v, D), o + t * D, D);
        }
        for (int t = 0; t < time; t++) std::copy_n(o + t * D, head, mixed[row * time + t] + h * head);
    }

    // to[t, s] = from[t] · turned[s] for s <= t, and a few columns more.
    void scores_of(const float* from, const Lines& to) const {
        for (int t = 0; t < time; t += TILE_ROWS) {
            const int count = std::min(TILE_ROWS, time - t);
            const Left<float> rows{from + t * padded_head, padded_head, 1};
            product(count, round_up(t + count, LANES), head, rows, turned.right(), to[t], to.stride);
        }
    }

    // In place over the first `count`; behind them zeros, as far as a tile that begins before `count` reads.
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
        std::fill(line + count, line + count + PAD, 0.0f);
    }

    void attend_back(const Kept& kept, int row, int h) {
        const int half = head / 2, D = padded_head, T = padded_time;
        const float *q = kept.q + place(row, h) * D, *k = kept.k + place(row, h) * D, *v = kept.v + place(row, h) * D;
        const Lines p{kept.p + place(row, h) * T, T};
        for (int t = 0; t < time; t++) std::copy_n(d_normed[row * time + t] + h * head, head, o + t * D);
        turned.transpose(v, D, time);
        scores_of(o, scores);
        for (int t = 0; t < time; t++) {
            Vec along{};
            float* d = scores[t];
            for (int s = t + 1; s < round_up(t + 1, LANES); s++) d[s] = 0;
            for (int s = 0; s <= t; s += LANES) along += load(p[t] + s) * load(d + s);
            const float mean = sum(along);
            for (int s = 0; s <= t; s += LANES) store(d + s, load(p[t] + s) * (load(d + s) - mean));
            std::fill(d + t + 1, d + t + 1 + PAD, 0.0f);
        }
        for (int t = 0; t < time; t += TILE_ROWS) {
            const int count = std::min(TILE_ROWS, time - t), later = time - t;
            const Left<float> earlier{scores[t], T, 1}, after{scores[t] + t, 1, T}, looks{p[t] + t, 1, T};
            product(count, D - PAD, t + count, earlier, as_stored<float>(k, D), d_q + t * D, D);
            product(count, D - PAD, later, after, as_stored<float>(q + t * D, D), d_k + t * D, D);
            product(count, D - PAD, later, looks, as_stored<float>(o + t * D, D), d_v + t * D, D);
        }
        const float scale = 1.0f / std::sqrt((float)head);
        for (int t = 0; t < time; t++) {
            float* to = wide[row * time + t] + 3 * h * head;
            const float *c = cos + t * half, *s = sin + t * half;
            for (int i = 0; i < half; i++) {
                const float a = d_q[t * D + i], b = d_q[t * D + i + half], e = d_k[t * D + i], f = d_k[t * D + i + half];
                to[i] = (a * c[i] + b * s[i]) * scale, to[i + half] = (b * c[i] - a * s[i]) * scale;
                to[head + i] = e * c[i] + f * s[i], to[head + i + half] = f * c[i] - e * s[i];
            }
            std::copy_n(d_v + t * D, head, to + 2 * head);
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
