// The MLP of a layer: two linear layers with GELU between them.
#pragma once

#include "norm.h"

struct MlpCache {  // what the backward pass needs
    NormCache norm;
    Operand activated;  // the activation's outputs [tokens, hidden]
    View slope;         // and its derivatives

    void allocate(Memory& memory, int tokens, int width, int hidden) {
        norm.allocate(memory, tokens, width), activated.allocate(memory, tokens, hidden);
        slope = allocate_view(memory, tokens + 1, hidden);
    }
};

class Mlp {
  public:
    int hidden = 0;
    Norm norm;
    Linear up, down;

    void allocate(Memory& memory, int width, int hidden) {
        this->hidden = hidden, norm.width = width;
        up.allocate(memory, width, hidden), down.allocate(memory, hidden, width);
    }

    void begin() { up.begin(), down.begin(); }
    void end() const { up.end(), down.end(); }

    void forward(Workspace& w, MlpCache& cache) const {
        norm.forward(w.batch, w.x, cache.norm);
        up.forward(w.batch, cache.norm.outputs, w.wide);
        activate(w, cache);
        down.forward_add(w.batch, cache.activated, w.x);
    }

    void backward(Workspace& w, const MlpCache& cache) const {
        down.add_gradients(w.batch, [&](int m) { return values_of(w.d_x[m]); }, w.d_x_copy, cache.activated);
        down.backward(w.batch, w.d_x_copy, w.wide);
        const auto d_hidden = [&](int m) {
            return [d = w.wide[m], slope = cache.slope[m]](int i) { return load(d + i) * load(slope + i); };
        };
        up.add_gradients(w.batch, d_hidden, w.wide_copy, cache.norm.outputs);
        up.backward(w.batch, w.wide_copy, w.narrow);
        norm.backward(w.batch, cache.norm, w.narrow, w.d_x);
    }

  private:
    // GELU by tanh, which is z·σ(2u) with u = √(2/π)·(z + 0.044715·z³), and its derivative.
    void activate(Workspace& w, MlpCache& cache) const {
        const float a = 0.7978845608f, b = 0.044715f;
        write(cache.activated, w.batch, hidden, [&](int m) {
            const float* from = w.wide[m];
            float* slope = cache.slope[m];
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
};
