// Linear layers over the tokens of a micro-batch, and what all parts of the model share: the addresses of parameters,
// the micro-batch, and buffers for its activations.
#pragma once

#include "form.h"
#include "product.h"

// MICROBATCH: about how many tokens go through the layers together; few enough that the backward pass finds its inputs
// in the cache. QUERY_BLOCK: rows of attention's matrices that are computed together. PAD_BLOCKS: whether rows of zeros
// fill the last block, in attention of each window, elsewhere of all tokens. COPIES_TRANSPOSED: whether a product first
// copies a transposed left factor; then the smaller factor should be the left one.
#if KC_AMX
constexpr int MICROBATCH = 192, QUERY_BLOCK = 2 * EDGE;
constexpr bool PAD_BLOCKS = true, COPIES_TRANSPOSED = true;
#else
constexpr int MICROBATCH = 256, QUERY_BLOCK = TILE_ROWS;
constexpr bool PAD_BLOCKS = false, COPIES_TRANSPOSED = false;
#endif
static_assert(QUERY_BLOCK % 2 == 0);

static inline int pad_to_block(int count) { return PAD_BLOCKS ? round_up(count, QUERY_BLOCK) : count; }

struct Parameter {  // a weight [out, in] or a vector in PyTorch's memory; null if the model has none
    const float* value = nullptr;
    float* gradient = nullptr;  // also null in a pass without gradients
};

// Every part of the model has `each_parameter(name, visit)`, which calls visit(name, kind, parameter, rows, columns)
// for each of its parameters in their order; a vector has 0 columns.

struct Microbatch {  // windows that go through the layers together
    int windows = 0, time = 0;
    int padded_time = 0;                // rows of a window in attention
    int tokens = 0, padded_tokens = 0;  // in all windows
};

struct Workspace {  // buffers [tokens, features] that the layers use in turn
    Microbatch batch;
    View x, d_x;        // the residual stream and its gradient
    View narrow;        // width: outputs of the heads; or gradients of these or of a norm's outputs
    View wide;          // hidden or 3·width: queries, keys and values; the MLP's features; or gradients of these
    View gate;          // hidden: inputs of the activation of a gated MLP, or their gradients
    Operand d_x_copy;   // d_x in the form that products read
    Operand wide_copy;  // the gradients in `wide`, in that form
    Operand gate_copy;

    void allocate(Memory& memory, int tokens, const Form& form) {
        const int width = form.width, features = std::max(3 * width, form.hidden);
        x = allocate_view(memory, tokens + 1, width), d_x = allocate_view(memory, tokens + 1, width);
        narrow = allocate_view(memory, tokens + 1, width), wide = allocate_view(memory, tokens + 1, features);
        wide_copy.allocate_copy(memory, tokens, features), d_x_copy.allocate_copy(memory, tokens, width);
        wide_copy.alias(wide), d_x_copy.alias(d_x);
        if (form.mlp != GATED_MLP) return;
        gate = allocate_view(memory, tokens + 1, form.hidden);
        gate_copy.allocate_copy(memory, tokens, form.hidden), gate_copy.alias(gate);
    }
};

// Writes the rows of all tokens of a matrix. row(m)(i) returns the vector of row m that starts at column i. row(m) may
// be called twice, and row(m)(i) is called once.
template <class F>
static void write(Operand& to, const Microbatch& batch, int columns, F row) {
    for (int m = 0; m < batch.tokens; m += 2) {
        const bool both = m + 1 < batch.tokens;
        const auto first = row(m), second = row(both ? m + 1 : m);
        const auto rows = to.row_pair(m);
        for (int i = 0; i < columns; i += LANES) {
            const Vec x = first(i), y = both ? second(i) : Vec{};
            rows.put(i, x, y);
        }
        for (int i = columns; i < padded_depth<Number>(columns); i += LANES) rows.pad(i);
    }
    for (int m = round_up(batch.tokens, 2); m < batch.padded_tokens; m += 2) put_zeros(to, m, 0, columns);
}

// For `write`: a row that is in memory already.
inline auto values_of(const float* row) {
    return [=](int i) { return load(row + i); };
}

// For `write`: the elementwise products of a and b.
inline auto products_of(const View& a, const View& b) {
    return [a, b](int m) { return [x = a[m], y = b[m]](int i) { return load(x + i) * load(y + i); }; };
}

static void copy(const float* from, int count, float* to) {
    for (int i = 0; i < count; i += LANES) store(to + i, load(from + i));
}

class Linear {  // y = W·x + b, with W [outputs, inputs]
  public:
    Parameter weight, bias;

    void allocate(Memory& memory, int inputs, int outputs, bool has_bias) {
        this->inputs = inputs, this->outputs = outputs, this->has_bias = has_bias;
        forward_weight.allocate(memory, inputs, outputs), backward_weight.allocate(memory, outputs, inputs);
        if (transposes_gradient()) transposed_gradient = allocate_view(memory, inputs, outputs);
    }

    template <class F>
    void each_parameter(const char* name, F visit) {
        visit(name, "weight", weight, outputs, inputs);
        if (has_bias) visit(name, "bias", bias, outputs, 0);
    }

    // Packs the weight, before the passes of a step.
    void begin() {
        forward_weight.pack_transposed(weight.value, inputs, outputs);
        if (!weight.gradient) return;
        backward_weight.pack(weight.value, inputs);
        for (int i = 0; transposes_gradient() && i < inputs; i++)
            std::fill_n(transposed_gradient[i], round_up(outputs, LANES), 0.0f);
    }

    // Adds the sums of the passes to the weight's gradient, after the passes of a step.
    void end() const {
        for (int o = 0; transposes_gradient() && o < outputs; o++)
            for (int i = 0; i < inputs; i++) weight.gradient[(long)o * inputs + i] += transposed_gradient[i][o];
    }

    void forward(const Microbatch& batch, const Operand& x, const View& y) const {
        multiply(batch, x, forward_weight, outputs, y, bias.value, false);
    }

    // y += W·x + b
    void forward_add(const Microbatch& batch, const Operand& x, const View& y) const {
        for (int m = 0; has_bias && m < batch.tokens; m++)
            for (int i = 0; i < outputs; i += LANES) store(y[m] + i, load(y[m] + i) + load(bias.value + i));
        multiply(batch, x, forward_weight, outputs, y, nullptr, true);
    }

    // Computes the gradient of x from that of y.
    void backward(const Microbatch& batch, const Operand& d_y, const View& d_x) const {
        multiply(batch, d_y, backward_weight, inputs, d_x, nullptr, false);
    }

    // The same, but added to d_x.
    void backward_add(const Microbatch& batch, const Operand& d_y, const View& d_x) const {
        multiply(batch, d_y, backward_weight, inputs, d_x, nullptr, true);
    }

    // Adds to the gradients of W and b. d_row gives the rows of the gradient of y, as in `write`; they are stored in
    // d_y.
    template <class F>
    void add_gradients(const Microbatch& batch, F d_row, Operand& d_y, const Operand& x) const {
        if (has_bias)
            write(d_y, batch, outputs, [&](int m) {
                return [d_bias = bias.gradient, numbers = d_row(m)](int i) {
                    const Vec d = numbers(i);
                    store(d_bias + i, load(d_bias + i) + d);
                    return d;
                };
            });
        else write(d_y, batch, outputs, d_row);
        const int tokens = batch.padded_tokens;
        const View& turned = transposed_gradient;
        if (transposes_gradient())
            product(inputs, outputs, tokens, x.transposed(), d_y.right(), turned.data, turned.stride, nullptr, true);
        else product(outputs, inputs, tokens, d_y.transposed(), x.right(), weight.gradient, inputs, nullptr, true);
    }

  private:
    int inputs = 0, outputs = 0;
    bool has_bias = false;
    Packed<Number> forward_weight, backward_weight;  // [inputs, outputs]; and for gradients of x [outputs, inputs]
    View transposed_gradient;                        // [inputs, outputs]

    bool transposes_gradient() const { return COPIES_TRANSPOSED && outputs > inputs; }

    static void multiply(const Microbatch& batch, const Operand& a, const Packed<Number>& b, int columns, const View& c,
                         const float* bias, bool add) {
        product(batch.padded_tokens, columns, b.padded_depth(), a.left(), b.right(), c.data, c.stride, bias, add);
    }
};
