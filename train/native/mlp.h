// The MLP of a layer: down(act(up(x))), or gated down(act(gate(x)) · up(x)) (Shazeer 2020, arXiv 2002.05202).
#pragma once

#include "norm.h"

struct MlpCache {  // what the backward pass needs of the forward pass
    NormCache norm;
    Operand features;  // the inputs of the last linear layer [tokens, hidden]
    View slope;        // derivatives of the features by the activation's inputs
    View activated;    // gated: the activation's outputs, the derivatives by the outputs of `up`

    void allocate(Memory& memory, int tokens, const Form& form) {
        if (form.mlp == NO_MLP) return;
        norm.allocate(memory, tokens, form.width), features.allocate(memory, tokens, form.hidden);
        slope = allocate_view(memory, tokens + 1, form.hidden);
        if (form.mlp == GATED_MLP) activated = allocate_view(memory, tokens + 1, form.hidden);
    }
};

struct Activated {  // an activation's output and its derivative
    Vec value, slope;
};

// GELU in its tanh form is x·σ(2u) with u = √(2/π)·(x + 0.044715·x³); SiLU is x·σ(x).
template <Activation ACTIVATION>
static inline Activated activate(Vec x) {
    const float a = 0.7978845608f, b = 0.044715f;
    const Vec square = x * x;
    const Vec power = ACTIVATION == SILU ? -x : x * (square * b + 1.0f) * (-2.0f * a);
    const Vec sigmoid = reciprocal(1.0f + exponential(smaller(Vec{} + 88.0f, power)));
    const Vec value = x * sigmoid, bend = value * (1.0f - sigmoid);
    return {value, ACTIVATION == SILU ? sigmoid + bend : sigmoid + bend * (square * (3 * b) + 1.0f) * (2 * a)};
}

class Mlp {
  public:
    void allocate(Memory& memory, const Form& form) {
        kind = form.mlp, activation = form.activation, hidden = form.hidden;
        if (kind == NO_MLP) return;
        norm.set(form);
        if (kind == GATED_MLP) gate.allocate(memory, form.width, hidden, form.mlp_bias);
        up.allocate(memory, form.width, hidden, form.mlp_bias),
            down.allocate(memory, hidden, form.width, form.mlp_bias);
    }

    template <class F>
    void each_parameter(F visit) {
        if (kind == NO_MLP) return;
        norm.each_parameter("mlp_norm", visit);
        if (kind == GATED_MLP) gate.each_parameter("mlp_gate", visit);
        up.each_parameter("mlp_in", visit), down.each_parameter("mlp_out", visit);
    }

    void begin() {
        if (kind == NO_MLP) return;
        if (kind == GATED_MLP) gate.begin();
        up.begin(), down.begin();
    }

    void end() const {
        if (kind == NO_MLP) return;
        if (kind == GATED_MLP) gate.end();
        up.end(), down.end();
    }

    void forward(Workspace& w, MlpCache& cache) const {
        if (kind == NO_MLP) return;
        norm.forward(w.batch, w.x, cache.norm);
        if (kind == GATED_MLP) gate.forward(w.batch, cache.norm.outputs, w.gate);
        up.forward(w.batch, cache.norm.outputs, w.wide);
        activation == SILU ? make_features<SILU>(w, cache) : make_features<GELU_TANH>(w, cache);
        down.forward_add(w.batch, cache.features, w.x);
    }

    void backward(Workspace& w, const MlpCache& cache) const {
        if (kind == NO_MLP) return;
        const Operand& x = cache.norm.outputs;
        down.add_gradients(w.batch, [&](int m) { return values_of(w.d_x[m]); }, w.d_x_copy, cache.features);
        down.backward(w.batch, w.d_x_copy, w.wide);
        if (kind == GATED_MLP) {
            gate.add_gradients(w.batch, products_of(w.wide, cache.slope), w.gate_copy, x);
            up.add_gradients(w.batch, products_of(w.wide, cache.activated), w.wide_copy, x);
            gate.backward(w.batch, w.gate_copy, w.narrow);
            up.backward_add(w.batch, w.wide_copy, w.narrow);
        } else {
            up.add_gradients(w.batch, products_of(w.wide, cache.slope), w.wide_copy, x);
            up.backward(w.batch, w.wide_copy, w.narrow);
        }
        norm.backward(w.batch, cache.norm, w.narrow, w.d_x);
    }

  private:
    MlpKind kind = NO_MLP;
    Activation activation = GELU_TANH;
    int hidden = 0;
    Norm norm;
    Linear gate, up, down;

    template <Activation ACTIVATION>
    void make_features(Workspace& w, MlpCache& cache) const {
        if (kind == GATED_MLP)
            write(cache.features, w.batch, hidden, [&](int m) {
                return
                    [from = w.gate[m], up = w.wide[m], slope = cache.slope[m], activated = cache.activated[m]](int i) {
                        const Activated a = activate<ACTIVATION>(load(from + i));
                        const Vec factor = load(up + i);
                        store(slope + i, a.slope * factor), store(activated + i, a.value);
                        return a.value * factor;
                    };
            });
        else
            write(cache.features, w.batch, hidden, [&](int m) {
                return [from = w.wide[m], slope = cache.slope[m]](int i) {
                    const Activated a = activate<ACTIVATION>(load(from + i));
                    store(slope + i, a.slope);
                    return a.value;
                };
            });
    }
};
