// The output head: logits, cross-entropies and their gradients. It takes a few tokens at a time, so that the logits of
// all tokens are never in memory together.
#pragma once

#include "norm.h"

constexpr int IGNORE = -1;  // a target that is not scored

// HEAD_TOKENS: tokens whose gradients of logits are in memory together. LOGIT_TOKENS: tokens whose logits are.
// LOGIT_COLUMNS: logits of a token that one product computes.
#if KC_AMX
constexpr int HEAD_TOKENS = 96, LOGIT_TOKENS = 2 * EDGE, LOGIT_COLUMNS = 2 * PANEL;
#else
constexpr int HEAD_TOKENS = 48, LOGIT_TOKENS = HEAD_TOKENS, LOGIT_COLUMNS = 1 << 30;
#endif
static_assert(HEAD_TOKENS % LOGIT_TOKENS == 0 && LOGIT_TOKENS % 2 == 0 && LOGIT_COLUMNS % PANEL == 0);
static_assert(!PAD_BLOCKS || LOGIT_TOKENS % QUERY_BLOCK == 0);

struct Targets {  // and the results for each of them
    const int32_t* token;
    float* nats;    // its loss, or null
    bool* correct;  // whether it has the largest logit (the first of equal ones), or null
    Targets from(int first) const {
        return {token + first, nats ? nats + first : nullptr, correct ? correct + first : nullptr};
    }
};

class Head {
  public:
    Parameter weight;  // [vocab, width]

    void allocate(Memory& memory, const Form& form) {
        width = form.width, vocab = form.vocab, columns = round_up(vocab, LANES);
        forward_weight.allocate(memory, width, columns), backward_weight.allocate(memory, vocab, width);
        logits = allocate_view(memory, LOGIT_TOKENS + 1, columns);
        d_logits.allocate_copy(memory, HEAD_TOKENS, columns), d_logits.alias(logits);
        scaled.allocate(memory, HEAD_TOKENS, width), transposed_gradient = allocate_view(memory, width, columns);
    }

    // Packs the weight, before the passes of a step.
    void begin() {
        forward_weight.pack_transposed(weight.value, width, vocab);
        if (!weight.gradient) return;
        backward_weight.pack(weight.value, width);
        for (int i = 0; i < width; i++) std::fill_n(transposed_gradient[i], columns, 0.0f);
    }

    // Adds the sums of the passes to the weight's gradient, after the passes of a step.
    void end() const {
        for (int o = 0; o < vocab; o++)
            for (int i = 0; i < width; i++) weight.gradient[(long)o * width + i] += transposed_gradient[i][o];
    }

    // Returns the sum of the losses of a micro-batch in nats. x: the outputs of the last norm. With gradients, d_x
    // becomes the gradient of scale · sum.
    double pass(const Microbatch& batch, const Operand& x, const Targets& targets, float scale, const View& d_x) {
        double total = 0;
        for (int first = 0; first < batch.tokens; first += HEAD_TOKENS) {
            const int count = std::min(HEAD_TOKENS, batch.tokens - first);
            float factor[HEAD_TOKENS];
            for (int at = 0; at < count; at += LOGIT_TOKENS) {
                const int few = std::min(LOGIT_TOKENS, count - at);
                total += losses(x, first + at, at, few, targets.from(first + at), scale, factor + at);
            }
            if (weight.gradient) backward(x, first, count, factor, d_x);
        }
        return total;
    }

  private:
    int width = 0, vocab = 0, columns = 0;  // columns: vocab, rounded up to whole vectors
    Packed<Number> forward_weight, backward_weight;
    View logits;
    // The gradients of a token's logits, divided by its `factor`, and the inputs of the head, multiplied by it.
    Operand d_logits, scaled;
    View transposed_gradient;  // [width, vocab]: not slower, even where products copy no left factor

    // Returns the sum of the losses of `count` tokens of x, starting at `token`. With gradients, writes `factor`, and
    // d_logits from row `row` on.
    double losses(const Operand& x, int token, int row, int count, const Targets& targets, float scale, float* factor) {
        const View z = d_logits.staging(logits, row);
        float top[LOGIT_TOKENS], chosen[LOGIT_TOKENS], partition[LOGIT_TOKENS];
        make_logits(x, token, count, z, top);
        for (int m = 0; m < count; m++) {
            const int target = targets.token[m];
            chosen[m] = target == IGNORE ? top[m] : z[m][target];
            if (targets.correct)
                targets.correct[m] =
                    target != IGNORE && chosen[m] == top[m] && std::find(z[m], z[m] + target, top[m]) == z[m] + target;
        }
        exponentials(z, row, count, top, partition);
        double total = 0;
        for (int m = 0; m < count; m++) {
            const int target = targets.token[m];
            const float loss = target == IGNORE ? 0 : std::log(partition[m]) + top[m] - chosen[m];
            total += loss;
            if (targets.nats) targets.nats[m] = loss;
            if (!weight.gradient) continue;
            // d loss / d logits = (e^z − partition·[target]) / partition; the division is done later, on shorter rows.
            if (target != IGNORE) {
                const float power = exponential(Vec{} + (chosen[m] - top[m]))[0];
                d_logits.row_pair(row + (m & ~1)).set(m & 1, target, power - partition[m]);
            }
            factor[m] = target == IGNORE ? 0 : scale / partition[m];
        }
        return total;
    }

    // Computes the logits z, and the largest one of each token.
    void make_logits(const Operand& x, int token, int count, const View& z, float* top) const {
        const Right<Number> weights = forward_weight.right();
        Vec most[LOGIT_TOKENS];
        std::fill_n(most, count, Vec{} - 1e30f);
        for (int column = 0; column < columns; column += LOGIT_COLUMNS) {
            const int end = column + std::min(LOGIT_COLUMNS, columns - column);
            const Right<Number> right{weights.data + column / PANEL * weights.panel, weights.panel, weights.step};
            product(pad_to_block(count), end - column, forward_weight.padded_depth(), x.left(token), right,
                    z.data + column, z.stride);
            for (int m = 0; m < count; m++) {
                float* row = z[m];
                for (int i = std::max(vocab, column); i < end; i++) row[i] = -1e30f;
                Vec one = most[m], other = one;
                int i = column;
                for (; i + LANES < end; i += 2 * LANES)
                    one = larger(one, load(row + i)), other = larger(other, load(row + i + LANES));
                if (i < end) one = larger(one, load(row + i));
                most[m] = larger(one, other);
            }
        }
        for (int m = 0; m < count; m++) top[m] = largest(most[m]);
    }

    // Computes `partition`, the sum of e^(z - top) of each token. With gradients, writes these powers to d_logits from
    // row `row` on.
    void exponentials(const View& z, int row, int count, const float* top, float* partition) const {
        for (int m = 0; m < count; m += 2) {
            const bool both = m + 1 < count;
            const float *upper = z[m], *lower = both ? z[m + 1] : upper;
            const float upper_top = top[m], lower_top = top[both ? m + 1 : m];
            const auto rows = d_logits.row_pair(row + m);
            Vec total{}, lower_total{};
            for (int i = 0; i < columns; i += LANES) {
                Vec x = exponential(load(upper + i) - upper_top), y = exponential(load(lower + i) - lower_top);
                if (i + LANES > vocab) x = lanes() < vocab - i ? x : Vec{}, y = lanes() < vocab - i ? y : Vec{};
                total += x, lower_total += y;
                if (weight.gradient) rows.put(i, x, both ? y : Vec{});
            }
            partition[m] = sum(total);
            if (both) partition[m + 1] = sum(lower_total);
        }
    }

    // Computes rows of d_x from row `first` on, and adds to the weight's gradient, from d_logits of `count` tokens.
    void backward(const Operand& x, int first, int count, float* factor, const View& d_x) {
        const int all = pad_to_block(count);
        for (int m = round_up(count, 2); m < all; m += 2) put_zeros(d_logits, m, 0, columns);
        product(all, width, backward_weight.padded_depth(), d_logits.left(), backward_weight.right(), d_x[first],
                d_x.stride);
        std::fill(factor + count, factor + std::min(HEAD_TOKENS, all + 1), 0.0f);
        for (int m = 0; m < all; m += 2) {
            const auto x_upper = x.row(first + m), x_lower = x.row(first + m + 1);
            const auto rows = scaled.row_pair(m);
            float *upper = d_x[first + m], *lower = d_x[first + m + 1];
            for (int i = 0; i < width; i += LANES) {
                store(upper + i, load(upper + i) * factor[m]), store(lower + i, load(lower + i) * factor[m + 1]);
                rows.put(i, x_upper(i) * factor[m], x_lower(i) * factor[m + 1]);
            }
        }
        product(width, columns, all, scaled.transposed(), d_logits.right(), transposed_gradient.data,
                transposed_gradient.stride, nullptr, true);
    }
};
