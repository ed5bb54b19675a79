// Forward and backward pass of the model of train/model.py: a few rows of tokens at a time go through all layers and
// back, so that what the backward pass needs is still in the cache, and logits exist for CHUNK tokens only.
#pragma once

#include <cmath>
#include <vector>

#include "product.h"

constexpr float NORM_EPS = 1e-5f;
constexpr int IGNORE = -1;

// GROUP_TOKENS: tokens that go through the layers together, about. CHUNK: tokens whose errors exist at a time. FEW: tokens whose
// logits exist at a time, of which COLUMNS a token are made together. Attended: attention's numbers. BLOCK: lines of a row and
// head that attention does together. WHOLE_BLOCKS: whether lines of zeros fill up the last block, there and of all tokens.
#if KC_AMX
constexpr int GROUP_TOKENS = 192, CHUNK = 96, FEW = 2 * EDGE, COLUMNS = 2 * PANEL;
using Attended = Pair;
constexpr int BLOCK = 2 * EDGE;
constexpr bool WHOLE_BLOCKS = true;
#else
constexpr int GROUP_TOKENS = 256, CHUNK = 48, FEW = CHUNK, COLUMNS = 1 << 30;
using Attended = float;
constexpr int BLOCK = TILE_ROWS;
constexpr bool WHOLE_BLOCKS = false;
#endif
static_assert(CHUNK % FEW == 0 && FEW % 2 == 0 && BLOCK % 2 == 0 && COLUMNS % PANEL == 0);
static_assert(!WHOLE_BLOCKS || FEW % BLOCK == 0);
// Whether what a product reads transposed on its left must first be copied that way: then better its lesser side.
constexpr bool COPIES_LEFT = KC_AMX;

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
        const int columns = round_up(vocab, LANES);
        logits = make_lines(fixed, FEW + 1, columns), errors.make_copy(fixed, CHUNK, columns), errors.stand_for(logits);
        scaled.make(fixed, CHUNK, W), d_embedding = make_lines(fixed, W, columns);
        for (int l = 0; COPIES_LEFT && l < layers; l++)
            d_qkv.push_back(make_lines(fixed, W, 3 * W)), d_up.push_back(make_lines(fixed, W, 4 * W));
    }

    // Sum over targets of the cross-entropy in nats. `grads` (or null: none) receive the gradients of scale · sum.
    // nats and correct (or null) receive each token's loss and whether its target has the largest logit.
    // cos, sin [time, head / 2]: the angles of train/model.py `rotation`.
    double run(const float* const* parameters, float* const* grads, const int32_t* inputs, const int32_t* targets, int rows,
               int time, const float* cos, const float* sin, float scale, float* nats, bool* correct) {
        P = parameters, G = grads, this->cos = cos, this->sin = sin;
        const int group = std::max(1, std::min({rows, GROUP_TOKENS / time, 2 * GROUP_TOKENS / padded(time)}));
        reserve(group, time);
        pack();
        rotation_tables();
        if (G) each_transposed([&](const Lines& d, float*, int outputs) {
            for (int i = 0; i < width; i++) std::fill_n(d[i], round_up(outputs, LANES), 0.0f);
        });
        double total = 0;
        for (int row = 0; row < rows; row += group) {
            const long first = (long)row * time;
            this->rows = std::min(group, rows - row);
            tokens = this->rows * time, padded_tokens = padded(tokens);
            forward(inputs + first);
            total += head_pass(targets + first, scale, nats ? nats + first : nullptr, correct ? correct + first : nullptr);
            if (G) backward(inputs + first);
        }
        if (G) each_transposed([&](const Lines& d, float* grad, int outputs) {
            for (int o = 0; o < outputs; o++)
                for (int i = 0; i < width; i++) grad[(long)o * width + i] += d[i][o];
        });
        return total;
    }

  private:
    std::vector<Kept> kept;
    std::vector<Weights> weights;
    Memory fixed, sized;
    Packed<Number> embedding, embedding_back;
    Lines logits, x, wide, d_x, d_normed, scores;
    // What passes add to the gradients of the embedding as the head, and if COPIES_LEFT of each layer's matrices with more
    // outputs than inputs: transposed, [inputs, outputs]. (The embedding's is no slower that way elsewhere.)
    Lines d_embedding;
    std::vector<Lines> d_qkv, d_up;
    // Gradients of logits but for a factor a token; what they are multiplied with for the embedding's gradient: the last norm's
    // outputs times that factor; wide and d_x when they are gradients, as products read them.
    Operand errors, scaled, d_wide, d_out;
    Norm last;
    // Of one row and head: keys or values transposed [head, time], gradients of the output [time, head] and of scores.
    Packed<Attended> turned;
    Matrix<Attended> d_mixed, d_scores;
    Lines o, d_q, d_k, d_v;  // the output and gradients [time, head]
    Lines own, partner;      // [time, head]: a number of q or k rotates into own · itself + partner · its partner
    const int head_columns = round_up(head, LANES), head_depth = depth<Attended>(head);
    bool keeps_all = false;  // layers, for a backward pass; scores need one layer at a time
    int most_tokens = 0, most_lines = 0, most_time = 0, rows = 0;
    int tokens = 0, padded_tokens = 0;  // of the group; and with the lines that fill up the last block
    int time = 0, lines = 0;  // of a window: its tokens, and with those that fill the last block
    const float* const* P = nullptr;
    float* const* G = nullptr;
    const float *cos = nullptr, *sin = nullptr;

    const float* parameter(int layer, int which) const { return P[1 + layer * A_BLOCK + which]; }
    float* grad(int layer, int which) const { return G[1 + layer * A_BLOCK + which]; }

    // use(d, grad, outputs) for each gradient that is made transposed.
    template <class F>
    void each_transposed(F use) const {
        use(d_embedding, G[0], vocab);
        for (int l = 0; COPIES_LEFT && l < layers; l++)
            use(d_qkv[l], grad(l, QKV), 3 * width), use(d_up[l], grad(l, UP), 4 * width);
    }

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
        const int most = padded(M);
        auto make = [&](int columns) { return make_lines(sized, most + 1, columns); };
        auto make_norm = [&](Norm& norm) {
            norm.normed.make(sized, most, width), norm.hat = make(width), norm.scale = sized.take(M);
        };
        for (int l = 0; l < (keeps_all ? layers : 1); l++) {
            Kept& k = kept[l];
            make_norm(k.norm1), make_norm(k.norm2), k.mixed.make(sized, most, width);
            k.gelu.make(sized, most, 4 * width), k.slope = make(4 * width);
            for (Matrix<Attended>* each : {&k.q, &k.k, &k.v}) each->make(sized, (long)all * heads, head_depth);
            k.p.make(sized, (long)all * heads, longest);
        }
        make_norm(last);
        x = make(width), d_x = make(width), d_normed = make(width), wide = make(4 * width);
        d_wide.make_copy(sized, most, 4 * width), d_out.make_copy(sized, most, width);
        d_wide.stand_for(wide), d_out.stand_for(d_x);
        turned.data = sized.take<Attended>(Packed<Attended>::size(head_depth, longest));
        d_mixed.make(sized, longest, head_depth), d_scores.make(sized, longest, longest);
        for (Lines* each : {&o, &d_q, &d_k, &d_v, &own, &partner}) *each = make_lines(sized, longest, head_columns);
        if (WHOLE_BLOCKS) scores = make_lines(sized, BLOCK, longest);
        most_tokens = M, most_lines = all, most_time = longest;
    }

    static int padded(int count) { return WHOLE_BLOCKS ? round_up(count, BLOCK) : count; }

    void rotation_tables() {
        for (int t = 0; t < time; t++)
            for (int i = 0; i < head / 2; i++) {
                own[t][i] = own[t][i + head / 2] = cos[t * head / 2 + i];
                partner[t][i] = -sin[t * head / 2 + i], partner[t][i + head / 2] = sin[t * head / 2 + i];
            }
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

    // a · b [tokens, columns] as `product` makes it.
    void multiply(const Operand& a, const Packed<Number>& b, int columns, const Lines& c, const float* bias = nullptr,
                  bool add = false) const {
        product(padded_tokens, columns, b.deep(), a.left(), b.right(), c.data, c.stride, bias, add);
    }

    // All tokens' lines of a matrix: line(m)(i) are the numbers of line m from column i on. line(m) may be called twice; its
    // numbers are asked for once.
    template <class F>
    void write(Operand& to, int columns, F line) const {
        for (int m = 0; m < tokens; m += 2) {
            const bool both = m + 1 < tokens;
            const auto first = line(m), second = line(both ? m + 1 : m);
            const auto rows = to.rows(m);
            for (int i = 0; i < columns; i += LANES) {
                const Vec x = first(i), y = both ? second(i) : Vec{};
                rows.put(i, x, y);
            }
        }
        for (int m = round_up(tokens, 2); m < padded_tokens; m += 2) clear(to, m, 0, columns);
    }

    // Zeros in rows `row` and row + 1.
    template <class T>
    static void clear(Matrix<T>& to, long row, int from, int end) {
        const auto rows = to.rows(row);
        for (int i = from; i < end; i += LANES) rows.put(i, Vec{}, Vec{});
    }

    static auto numbers_of(const float* line) {
        return [=](int i) { return load(line + i); };
    }

    void normalize(Norm& norm, const float* gain, const float* bias) const {
        write(norm.normed, width, [&](int m) {
            const float* from = x[m];
            Vec total{}, squares{};
            for (int i = 0; i < width; i += LANES) total += load(from + i);
            const float mean = sum(total) / width;
            for (int i = 0; i < width; i += LANES) {
                const Vec off = load(from + i) - mean;
                squares += off * off;
            }
            const float scale = norm.scale[m] = 1.0f / std::sqrt(sum(squares) / width + NORM_EPS);
            float* hat = norm.hat[m];
            return [=](int i) {
                const Vec standard = (load(from + i) - mean) * scale;
                store(hat + i, standard);
                return standard * load(gain + i) + load(bias + i);
            };
        });
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
        for (int m = 0; m < tokens; m++) copy(P[0] + (long)inputs[m] * W, W, x[m]);
        for (int l = 0; l < layers; l++) {
            Kept& k = kept[G ? l : 0];
            const Weights& w = weights[l];
            normalize(k.norm1, parameter(l, NORM1), parameter(l, NORM1_BIAS));
            multiply(k.norm1.normed, w.qkv, 3 * W, wide, parameter(l, QKV_BIAS));
            for (int row = 0; row < rows; row++)
                for (int h = 0; h < heads; h++) attend(k, row, h);
            const Lines mixed = k.mixed.draft(d_normed);
            write(k.mixed, W, [&](int m) { return numbers_of(mixed[m]); });
            add_bias(parameter(l, OUT_BIAS));
            multiply(k.mixed, w.out, W, x, nullptr, true);
            normalize(k.norm2, parameter(l, NORM2), parameter(l, NORM2_BIAS));
            multiply(k.norm2.normed, w.up, 4 * W, wide, parameter(l, UP_BIAS));
            activate(k);
            add_bias(parameter(l, DOWN_BIAS));
            multiply(k.gelu, w.down, W, x, nullptr, true);
        }
        normalize(last, P[1 + layers * A_BLOCK], P[2 + layers * A_BLOCK]);
    }

    void add_bias(const float* bias) const {
        for (int m = 0; m < tokens; m++)
            for (int i = 0; i < width; i += LANES) store(x[m] + i, load(x[m] + i) + load(bias + i));
    }

    // GELU by tanh, which is z·σ(2u) with u = √(2/π)·(z + 0.044715·z³), and its derivative.
    void activate(Kept& k) const {
        const float a = 0.7978845608f, b = 0.044715f;
        write(k.gelu, 4 * width, [&](int m) {
            const float* from = wide[m];
            float* slope = k.slope[m];
            return [=](int i) {
                const Vec z = load(from + i), square = z * z;
                const Vec power = z * (square * b + 1.0f) * (-2.0f * a);
                const Vec sigmoid = reciprocal(1.0f + exponential(smaller(Vec{} + 88.0f, power)));
                const Vec value = z * sigmoid;
                store(slope + i, sigmoid + value * (1.0f - sigmoid) * (square * (3 * b) + 1.0f) * (2 * a));
                return value;
            };
        });
    }

    static void copy(const float* from, int count, float* to) {
        for (int i = 0; i < count; i += LANES) store(to + i, load(from + i));
    }

    // The first line of a row and head in q, k, v and p.
    long place(int row, int h) const { return ((long)row * heads + h) * lines; }

    // A window [time, head] of q, k, v or d_mixed from line `at` on, zeros behind it; line(t)(i): as in `write`.
    template <class F>
    void fill(Matrix<Attended>& to, long at, F line) const {
        for (int t = 0; t < time; t += 2) {
            const bool both = t + 1 < time;
            const auto first = line(t), second = line(both ? t + 1 : t);
            const auto rows = to.rows(at + t);
            for (int i = 0; i < head_columns; i += LANES) rows.put(i, first(i), both ? second(i) : Vec{});
        }
        for (int t = round_up(time, 2); t < lines; t += 2) clear(to, at + t, 0, head_columns);
    }

    // Zeros behind the numbers of a head.
    auto head_of(const float* line) const {
        return [=, head = head](int i) { return lanes() < head - i ? load(line + i) : Vec{}; };
    }

    // A head's numbers rotated by the angles of their position, or with a sign of -1 back, times `scale`; zeros behind them.
    auto rotated(const float* line, int t, float sign, float scale) const {
        const float *c = own[t], *s = partner[t];
        return [=, head = head](int i) {
            const int half = head / 2;
            Vec other{};
            if (i < half) other = load(line + i + half);
            if (i + LANES > half) other = lanes() < half - i ? other : load(line + i - half);
            const Vec x = (load(line + i) * load(c + i) + other * load(s + i) * sign) * scale;
            return lanes() < head - i ? x : Vec{};  // not only · 0: what lies behind may be no number
        };
    }

    // So many columns of a line are read of which `count` are seen: those of its block.
    static int reach(int count) { return WHOLE_BLOCKS ? round_up(count, BLOCK) : count + PAD; }

    // For each block of lines: from[t] · turned[s] for s <= t (and a few more) is drafted; finish(t, x, y) makes lines t and
    // t + 1 of `to` of that, the latter of zeros if there is none; then `use` takes the block.
    template <class F, class U>
    void by_blocks(const Matrix<Attended>& from, long from_at, Matrix<Attended>& to, long to_at, F finish, U use) {
        for (int t = 0; t < lines; t += BLOCK) {
            const int count = std::min(BLOCK, lines - t);
            const Lines draft = to.draft(scores, to_at + t);
            product(count, round_up(t + count, LANES), head_depth, from.left(from_at + t), turned.right(), draft[0], draft.stride);
            for (int i = 0; i < count; i += 2) {
                const int end = t + i < time ? round_up(t + i + 1, LANES) : 0;
                if (end) finish(t + i, end, draft[i], draft[i + 1]);
                clear(to, to_at + t + i, end, reach(t + i + 2));
            }
            use(t, count);
        }
    }

    void attend(Kept& kept, int row, int h) {
        const long at = place(row, h);
        auto from = [&](int t, int which) { return wide[row * time + t] + (3 * h + which) * head; };
        fill(kept.q, at, [&](int t) { return rotated(from(t, 0), t, 1.0f, 1.0f / std::sqrt((float)head)); });
        fill(kept.k, at, [&](int t) { return rotated(from(t, 1), t, 1.0f, 1.0f); });
        fill(kept.v, at, [&](int t) { return head_of(from(t, 2)); });
        kept.k.transpose(at, time, turned);
        by_blocks(
            kept.q, at, kept.p, at,
            [&](int t, int end, float* x, float* y) {
                const float first = powers(x, t + 1), second = t + 1 < time ? powers(y, t + 2) : 0.0f;
                const auto rows = kept.p.rows(at + t);
                for (int s = 0; s < end; s += LANES) rows.put(s, load(x + s) * first, load(y + s) * second);
            },
            [&](int t, int count) {
                product(count, head_columns, t + count, kept.p.left(at + t), kept.v.right(at), o[t], o.stride);
            });
        const Lines mixed = kept.mixed.draft(d_normed);
        for (int t = 0; t < time; t++) copy(o[t], head, mixed[row * time + t] + h * head);
    }

    // e^x up to a factor, in place over the first `count`, with zeros in what is left of the last vector; 1 / their sum.
    static float powers(float* line, int count) {
        const int whole = (count - 1) / LANES * LANES;
        const IntVec seen = lanes() < count - whole;
        const Vec last = seen ? load(line + whole) : Vec{} - 1e30f;
        Vec most = last;
        for (int s = 0; s < whole; s += LANES) most = larger(most, load(line + s));
        const float top = largest(most);
        Vec total = seen ? exponential(last - top) : Vec{};
        store(line + whole, total);
        for (int s = 0; s < whole; s += LANES) {
            const Vec e = exponential(load(line + s) - top);
            store(line + s, e);
            total += e;
        }
        return 1.0f / sum(total);
    }

    void attend_back(const Kept& kept, int row, int h) {
        const long at = place(row, h);
        fill(d_mixed, 0, [&](int t) { return head_of(d_normed[row * time + t] + h * head); });
        kept.v.transpose(at, time, turned);
        by_blocks(
            d_mixed, 0, d_scores, 0,
            [&](int t, int end, float* d, float* below) {  // p is zero behind what a line sees
                const bool both = t + 1 < time;
                const auto p = kept.p.row(at + t), q = kept.p.row(at + t + both);
                const auto rows = d_scores.rows(t);
                Vec along{}, others{};
                for (int s = 0; s < end; s += LANES) along += p(s) * load(d + s), others += q(s) * load(below + s);
                const float first = sum(along), second = sum(others);
                for (int s = 0; s < end; s += LANES) {
                    const Vec x = p(s) * (load(d + s) - first), y = q(s) * (load(below + s) - second);
                    rows.put(s, x, both ? y : Vec{});
                }
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
        for (int t = 0; t < time; t++) {  // what is behind a head's numbers, the next one writes over
            float* to = wide[row * time + t] + 3 * h * head;
            const auto q = rotated(d_q[t], t, -1.0f, scale), k = rotated(d_k[t], t, -1.0f, 1.0f);
            for (int i = 0; i < head; i += LANES) store(to + i, q(i));
            for (int i = 0; i < head; i += LANES) store(to + head + i, k(i));
            copy(d_v[t], head, to + 2 * head);
        }
    }

    // The head: losses, and with gradients d_normed and what comes to d_embedding, by CHUNK tokens.
    double head_pass(const int32_t* targets, float scale, float* nats, bool* correct) {
        double total = 0;
        const int columns = round_up(vocab, LANES);
        for (int first = 0; first < tokens; first += CHUNK) {
            const int count = std::min(CHUNK, tokens - first), all = padded(count);
            float factor[CHUNK];
            for (int few = 0; few < count; few += FEW) {
                Scores of{first, few, std::min(FEW, count - few), errors.draft(logits, few), targets, nats, correct};
                total += losses(of, scale, factor);
            }
            if (!G) continue;
            for (int m = round_up(count, 2); m < all; m += 2)
                clear(errors, m, 0, columns);
            product(all, width, embedding_back.deep(), errors.left(), embedding_back.right(), d_normed[first], d_normed.stride);
            std::fill(factor + count, factor + std::min(CHUNK, all + 1), 0.0f);
            for (int m = 0; m < all; m += 2) {
                const auto x = last.normed.row(first + m), y = last.normed.row(first + m + 1);
                const auto rows = scaled.rows(m);
                float *d = d_normed[first + m], *below = d_normed[first + m + 1];
                for (int i = 0; i < width; i += LANES) {
                    store(d + i, load(d + i) * factor[m]), store(below + i, load(below + i) * factor[m + 1]);
                    rows.put(i, x(i) * factor[m], y(i) * factor[m + 1]);
                }
            }
            product(width, columns, all, scaled.transposed(), errors.right(), d_embedding.data, d_embedding.stride, nullptr, true);
        }
        return total;
    }

    struct Scores {  // of a few tokens
        int first, few, count;  // their chunk's first token, and theirs from there on
        Lines z;
        const int32_t* targets;
        float* nats;
        bool* correct;
    };

    // Sum of losses in nats; with gradients, their rows of `errors`, and what these are to be multiplied with.
    double losses(const Scores& of, float scale, float* factor) {
        const int columns = round_up(vocab, LANES);
        const Right<Number> weights = embedding.right();
        Vec most[FEW];
        float partition[FEW];
        std::fill_n(most, of.count, Vec{} - 1e30f);
        for (int column = 0; column < columns; column += COLUMNS) {
            const int end = column + std::min(COLUMNS, columns - column);
            const Right<Number> from{weights.data + column / PANEL * weights.panel, weights.panel, weights.step};
            product(padded(of.count), end - column, embedding.deep(), last.normed.left(of.first + of.few), from,
                    of.z.data + column, of.z.stride);
            for (int m = 0; m < of.count; m++) {
                float* z = of.z[m];
                for (int i = std::max(vocab, column); i < end; i++) z[i] = -1e30f;
                Vec one = most[m], other = one;
                int i = column;
                for (; i + LANES < end; i += 2 * LANES) one = larger(one, load(z + i)), other = larger(other, load(z + i + LANES));
                if (i < end) one = larger(one, load(z + i));
                most[m] = larger(one, other);
            }
        }
        float top[FEW], chosen[FEW];
        for (int m = 0; m < of.count; m++) {
            const int token = of.first + of.few + m, target = of.targets[token];
            const float* z = of.z[m];
            top[m] = largest(most[m]), chosen[m] = target == IGNORE ? top[m] : z[target];
            if (of.correct) of.correct[token] = target != IGNORE && chosen[m] == top[m] && std::find(z, z + target, top[m]) == z + target;
        }
        for (int m = 0; m < of.count; m += 2) {
            const bool both = m + 1 < of.count;
            const float *z = of.z[m], *below = both ? of.z[m + 1] : z;
            const float first = top[m], second = top[both ? m + 1 : m];
            const auto rows = errors.rows(of.few + m);
            Vec total{}, others{};
            for (int i = 0; i < columns; i += LANES) {
                Vec x = exponential(load(z + i) - first), y = exponential(load(below + i) - second);
                if (i + LANES > vocab) x = lanes() < vocab - i ? x : Vec{}, y = lanes() < vocab - i ? y : Vec{};
                total += x, others += y;
                if (G) rows.put(i, x, both ? y : Vec{});
            }
            partition[m] = sum(total);
            if (both) partition[m + 1] = sum(others);
        }
        double total = 0;
        for (int m = 0; m < of.count; m++) {
            const int token = of.first + of.few + m, target = of.targets[token];
            const float loss = target == IGNORE ? 0 : std::log(partition[m]) + top[m] - chosen[m];
            total += loss;
            if (of.nats) of.nats[token] = loss;
            if (!G) continue;
            // d loss / d logits = (e^z − partition·[target]) / partition; the division is left to shorter lines.
            if (target != IGNORE) {
                const float power = exponential(Vec{} + (chosen[m] - top[m]))[0];
                errors.rows(of.few + (m & ~1)).set(m & 1, target, power - partition[m]);
            }
            factor[of.few + m] = target == IGNORE ? 0 : scale / partition[m];
        }
        return total;
    }

    void backward(const int32_t* inputs) {
        const int W = width;
        for (int m = 0; m < tokens; m++) std::fill_n(d_x[m], W, 0.0f);
        normalize_back(last, P[1 + layers * A_BLOCK], G[1 + layers * A_BLOCK], G[2 + layers * A_BLOCK]);
        const auto d_x_of = [&](int m) { return numbers_of(d_x[m]); };
        const auto d_wide_of = [&](int m) { return numbers_of(wide[m]); };
        for (int l = layers - 1; l >= 0; l--) {
            const Kept& k = kept[l];
            const Weights& w = weights[l];
            const auto d_up_of = [&](int m) {
                return [d = wide[m], slope = k.slope[m]](int i) { return load(d + i) * load(slope + i); };
            };
            weight_back(d_out, W, d_x_of, k.gelu, 4 * W, {grad(l, DOWN), 4 * W}, grad(l, DOWN_BIAS));
            multiply(d_out, w.down_back, 4 * W, wide);
            weight_back(d_wide, 4 * W, d_up_of, k.norm2.normed, W, COPIES_LEFT ? d_up[l] : Lines{grad(l, UP), W}, grad(l, UP_BIAS),
                        COPIES_LEFT);
            multiply(d_wide, w.up_back, W, d_normed);
            normalize_back(k.norm2, parameter(l, NORM2), grad(l, NORM2), grad(l, NORM2_BIAS));

            weight_back(d_out, W, d_x_of, k.mixed, W, {grad(l, OUT), W}, grad(l, OUT_BIAS));
            multiply(d_out, w.out_back, W, d_normed);
            for (int row = 0; row < rows; row++)
                for (int h = 0; h < heads; h++) attend_back(k, row, h);
            // Behind the 3 W columns lie some of the 4 W from above, which `depth` may reach.
            weight_back(d_wide, 3 * W, d_wide_of, k.norm1.normed, W, COPIES_LEFT ? d_qkv[l] : Lines{grad(l, QKV), W},
                        grad(l, QKV_BIAS), COPIES_LEFT);
            multiply(d_wide, w.qkv_back, W, d_normed);
            normalize_back(k.norm1, parameter(l, NORM1), grad(l, NORM1), grad(l, NORM1_BIAS));
        }
        for (int m = 0; m < tokens; m++) {
            float* to = G[0] + (long)inputs[m] * W;
            for (int i = 0; i < W; i += LANES) store(to + i, load(to + i) + load(d_x[m] + i));
        }
    }

    // d_out, whose lines `line` makes as in `write`: adds d_out^T · in [outputs, inputs], or its transpose, to d_weight,
    // and the sums of d_out to d_bias; leaves d_out in `to`, as products read it.
    template <class F>
    void weight_back(Operand& to, int outputs, F line, const Operand& in, int inputs, const Lines& d_weight, float* d_bias,
                     bool transposed = false) const {
        write(to, outputs, [&](int m) {
            return [=, numbers = line(m)](int i) {
                const Vec d = numbers(i);
                store(d_bias + i, load(d_bias + i) + d);
                return d;
            };
        });
        if (transposed)
            product(inputs, outputs, padded_tokens, in.transposed(), to.right(), d_weight.data, d_weight.stride, nullptr, true);
        else
            product(outputs, inputs, padded_tokens, to.transposed(), in.right(), d_weight.data, d_weight.stride, nullptr, true);
    }
};
