// Causal self-attention with rotary positions, computed for one head of one window at a time.
#pragma once

#include "norm.h"

#if KC_AMX
using AttentionNumber = Pair;
#else
using AttentionNumber = float;
#endif

struct AttentionCache {  // what the backward pass needs of the forward pass
    NormCache norm;
    Matrix<AttentionNumber> q, k, v;        // [windows, heads, padded time; head]
    Matrix<AttentionNumber> probabilities;  // [windows, heads, padded time; padded time]
    Operand mixed;                          // the heads' outputs side by side [tokens, width]
};

class Attention {
  public:
    Norm norm;
    Linear qkv, out;  // rows of qkv: [heads, 3, head]

    void allocate(Memory& memory, const Form& form) {
        const int width = form.width;
        norm.set(form), qkv.allocate(memory, width, 3 * width, form.qkv_bias);
        out.allocate(memory, width, width, form.out_bias);
    }

    template <class F>
    void each_parameter(F visit) {
        norm.each_parameter("attention_norm", visit), qkv.each_parameter("qkv", visit);
        out.each_parameter("attention_out", visit);
    }

    void begin() { qkv.begin(), out.begin(); }
    void end() const { qkv.end(), out.end(); }
};

class AttentionPass {  // the passes through attention, with buffers that all layers share
  public:
    explicit AttentionPass(const Form& form) : heads(form.heads), head(form.head()) {}

    void allocate_cache(Memory& memory, AttentionCache& cache, int tokens, int window_rows, int longest) const {
        const int width = heads * head;
        cache.norm.allocate(memory, tokens, width), cache.mixed.allocate(memory, tokens, width);
        for (Matrix<AttentionNumber>* matrix : {&cache.q, &cache.k, &cache.v})
            matrix->allocate(memory, (long)window_rows * heads, head_depth);
        cache.probabilities.allocate(memory, (long)window_rows * heads, longest);
    }

    void allocate(Memory& memory, int longest) {
        transposed.data = memory.allocate<AttentionNumber>(Packed<AttentionNumber>::size(head_depth, longest));
        d_mixed.allocate(memory, longest, head_depth), d_scores.allocate(memory, longest, longest);
        for (View* view : {&mixed, &d_q, &d_k, &d_v, &own_factor, &partner_factor})
            *view = allocate_view(memory, longest, head_columns);
        if (PAD_BLOCKS) scores = allocate_view(memory, QUERY_BLOCK, longest);
    }

    // cos, sin [time, head / 2]: from `rotation` in train/architectures/rotary.py.
    void set_rotation(const float* cos, const float* sin, int time) {
        transposed.K = head_depth, transposed.N = pad_to_block(time);
        for (int t = 0; t < time; t++)
            for (int i = 0; i < head / 2; i++) {
                own_factor[t][i] = own_factor[t][i + head / 2] = cos[t * head / 2 + i];
                partner_factor[t][i] = -sin[t * head / 2 + i], partner_factor[t][i + head / 2] = sin[t * head / 2 + i];
            }
    }

    void forward(const Attention& layer, Workspace& w, AttentionCache& cache) {
        batch = w.batch;
        layer.norm.forward(batch, w.x, cache.norm);
        layer.qkv.forward(batch, cache.norm.outputs, w.wide);
        const View all_mixed = cache.mixed.staging(w.narrow);
        for (int window = 0; window < batch.windows; window++)
            for (int h = 0; h < heads; h++) head_forward(w.wide, cache, all_mixed, window, h);
        write(cache.mixed, batch, heads * head, [&](int m) { return values_of(all_mixed[m]); });
        layer.out.forward_add(batch, cache.mixed, w.x);
    }

    void backward(const Attention& layer, Workspace& w, const AttentionCache& cache) {
        batch = w.batch;
        layer.out.add_gradients(batch, [&](int m) { return values_of(w.d_x[m]); }, w.d_x_copy, cache.mixed);
        layer.out.backward(batch, w.d_x_copy, w.narrow);
        for (int window = 0; window < batch.windows; window++)
            for (int h = 0; h < heads; h++) head_backward(w.narrow, cache, w.wide, window, h);
        layer.qkv.add_gradients(batch, [&](int m) { return values_of(w.wide[m]); }, w.wide_copy, cache.norm.outputs);
        layer.qkv.backward(batch, w.wide_copy, w.narrow);
        layer.norm.backward(batch, cache.norm, w.narrow, w.d_x);
    }

  private:
    const int heads, head;
    const int head_columns = round_up(head, LANES), head_depth = padded_depth<AttentionNumber>(head);
    Microbatch batch;
    Packed<AttentionNumber> transposed;         // keys or values of a head [head, padded time]
    Matrix<AttentionNumber> d_mixed, d_scores;  // gradients of a head [time, head] and [time, time]
    View scores;                                // scores of a block of queries
    View mixed, d_q, d_k, d_v;                  // of a head [time, head]
    View own_factor, partner_factor;            // [time, head]: x becomes own · x + partner · (x's partner)

    // The first row of a head in q, k, v and the probabilities.
    long first_row(int window, int h) const { return ((long)window * heads + h) * batch.padded_time; }

    // Writes the rows [time, head] of a head, starting at row `first`, and zeros after them. row(t)(i) is as in
    // `write`.
    template <class F>
    void write_head(Matrix<AttentionNumber>& to, long first, F row) const {
        const int time = batch.time;
        for (int t = 0; t < time; t += 2) {
            const bool both = t + 1 < time;
            const auto upper = row(t), lower = row(both ? t + 1 : t);
            const auto rows = to.row_pair(first + t);
            for (int i = 0; i < head_columns; i += LANES) rows.put(i, upper(i), both ? lower(i) : Vec{});
        }
        for (int t = round_up(time, 2); t < batch.padded_time; t += 2) put_zeros(to, first + t, 0, head_columns);
    }

    // The numbers of one head in a row of all heads, followed by zeros.
    auto head_values(const float* row) const {
        return [=, head = head](int i) { return lanes() < head - i ? load(row + i) : Vec{}; };
    }

    // The numbers of one head, rotated by the angles of position t (back if `sign` is -1) and multiplied by `scale`,
    // followed by zeros.
    auto rotated(const float* row, int t, float sign, float scale) const {
        const float *own = own_factor[t], *partner = partner_factor[t];
        return [=, head = head](int i) {
            const int half = head / 2;
            Vec other{};
            if (i < half) other = load(row + i + half);
            if (i + LANES > half) other = lanes() < half - i ? other : load(row + i - half);
            const Vec x = (load(row + i) * load(own + i) + other * load(partner + i) * sign) * scale;
            return lanes() < head - i ? x : Vec{};  // not a product with 0: what follows the head may be NaN
        };
    }

    // How many columns products read of a row whose first `count` columns are not masked.
    static int columns_read(int count) { return PAD_BLOCKS ? round_up(count, QUERY_BLOCK) : count + PAD; }

    // For each block of rows, computes left[t] · transposed[s] for all s <= t (and a few more). Then finish(t, end, x,
    // y) turns rows t and t + 1 into those of `to`; row t + 1 becomes zeros if it does not exist. Then use(t, count)
    // reads the block.
    template <class F, class U>
    void by_query_blocks(const Matrix<AttentionNumber>& left, long left_row, Matrix<AttentionNumber>& to, long to_row,
                         F finish, U use) {
        const int padded = batch.padded_time;
        for (int t = 0; t < padded; t += QUERY_BLOCK) {
            const int count = std::min(QUERY_BLOCK, padded - t);
            const View block = to.staging(scores, to_row + t);
            product(count, round_up(t + count, LANES), head_depth, left.left(left_row + t), transposed.right(),
                    block[0], block.stride);
            for (int i = 0; i < count; i += 2) {
                const int end = t + i < batch.time ? round_up(t + i + 1, LANES) : 0;
                if (end) finish(t + i, end, block[i], block[i + 1]);
                put_zeros(to, to_row + t + i, end, columns_read(t + i + 2));
            }
            use(t, count);
        }
    }

    void head_forward(const View& qkv, AttentionCache& cache, const View& all_mixed, int window, int h) {
        const int time = batch.time;
        const long first = first_row(window, h);
        const auto part = [&](int t, int which) { return qkv[window * time + t] + (3 * h + which) * head; };
        const float scale = 1.0f / std::sqrt((float)head);
        write_head(cache.q, first, [&](int t) { return rotated(part(t, 0), t, 1.0f, scale); });
        write_head(cache.k, first, [&](int t) { return rotated(part(t, 1), t, 1.0f, 1.0f); });
        write_head(cache.v, first, [&](int t) { return head_values(part(t, 2)); });
        cache.k.transpose(first, time, transposed);
        const auto normalize = [&](int t, int end, float* x, float* y) {
            const float upper = exponentials(x, t + 1), lower = t + 1 < time ? exponentials(y, t + 2) : 0.0f;
            const auto rows = cache.probabilities.row_pair(first + t);
            for (int s = 0; s < end; s += LANES) rows.put(s, load(x + s) * upper, load(y + s) * lower);
        };
        const auto mix = [&](int t, int count) {
            product(count, head_columns, t + count, cache.probabilities.left(first + t), cache.v.right(first), mixed[t],
                    mixed.stride);
        };
        by_query_blocks(cache.q, first, cache.probabilities, first, normalize, mix);
        for (int t = 0; t < time; t++) copy(mixed[t], head, all_mixed[window * time + t] + h * head);
    }

    // Replaces the first `count` numbers x of a row by e^(x - largest), and the rest of the last vector by zeros.
    // Returns 1 / their sum.
    static float exponentials(float* row, int count) {
        const int whole = (count - 1) / LANES * LANES;
        const IntVec seen = lanes() < count - whole;
        const Vec last = seen ? load(row + whole) : Vec{} - 1e30f;
        Vec most = last;
        for (int s = 0; s < whole; s += LANES) most = larger(most, load(row + s));
        const float top = largest(most);
        Vec total = seen ? exponential(last - top) : Vec{};
        store(row + whole, total);
        for (int s = 0; s < whole; s += LANES) {
            const Vec e = exponential(load(row + s) - top);
            store(row + s, e);
            total += e;
        }
        return 1.0f / sum(total);
    }

    void head_backward(const View& d_all_mixed, const AttentionCache& cache, const View& d_qkv, int window, int h) {
        const int time = batch.time, padded = batch.padded_time;
        const long first = first_row(window, h);
        write_head(d_mixed, 0, [&](int t) { return head_values(d_all_mixed[window * time + t] + h * head); });
        cache.v.transpose(first, time, transposed);
        const auto through_softmax = [&](int t, int end, float* x, float* y) {  // masked probabilities are zero
            const bool both = t + 1 < time;
            const auto p = cache.probabilities.row(first + t), q = cache.probabilities.row(first + t + both);
            const auto rows = d_scores.row_pair(t);
            Vec along_p{}, along_q{};
            for (int s = 0; s < end; s += LANES) along_p += p(s) * load(x + s), along_q += q(s) * load(y + s);
            const float upper = sum(along_p), lower = sum(along_q);
            for (int s = 0; s < end; s += LANES) {
                const Vec dx = p(s) * (load(x + s) - upper), dy = q(s) * (load(y + s) - lower);
                rows.put(s, dx, both ? dy : Vec{});
            }
        };
        const auto to_queries = [&](int t, int count) {
            product(count, head_columns, t + count, d_scores.left(t), cache.k.right(first), d_q[t], d_q.stride);
        };
        by_query_blocks(d_mixed, 0, d_scores, 0, through_softmax, to_queries);
        for (int t = 0; t < padded; t += QUERY_BLOCK) {  // keys and values: sums over the queries from t on
            const int count = std::min(QUERY_BLOCK, padded - t), later = padded - t;
            const Left<AttentionNumber> d_score = d_scores.transposed(t).from(t, 0);
            const Left<AttentionNumber> probability = cache.probabilities.transposed(first + t).from(t, 0);
            product(count, head_columns, later, d_score, cache.q.right(first + t), d_k[t], d_k.stride);
            product(count, head_columns, later, probability, d_mixed.right(t), d_v[t], d_v.stride);
        }
        const float scale = 1.0f / std::sqrt((float)head);
        for (int t = 0; t < time; t++) {  // numbers written after a head are overwritten by the next head
            float* to = d_qkv[window * time + t] + 3 * h * head;
            const auto q = rotated(d_q[t], t, -1.0f, scale), k = rotated(d_k[t], t, -1.0f, 1.0f);
            for (int i = 0; i < head; i += LANES) store(to + i, q(i));
            for (int i = 0; i < head; i += LANES) store(to + head + i, k(i));
            copy(d_v[t], head, to + 2 * head);
        }
    }
};
