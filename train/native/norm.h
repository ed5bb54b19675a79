// Layer norm: each token's features with mean 0 and variance 1, times a gain, plus a bias.
#pragma once

#include <cmath>

#include "linear.h"

constexpr float NORM_EPS = 1e-5f;

struct NormCache {  // what the passes need of a norm over a micro-batch
    Operand outputs;
    View standardized;         // before gain and bias
    float* inverse = nullptr;  // 1 / standard deviation of each token

    void allocate(Memory& memory, int tokens, int width) {
        outputs.allocate(memory, tokens, width);
        standardized = allocate_view(memory, tokens + 1, width), inverse = memory.allocate(tokens);
    }
};

class Norm {
  public:
    int width = 0;
    Parameter gain, bias;

    void forward(const Microbatch& batch, const View& x, NormCache& cache) const {
        write(cache.outputs, batch, width, [&, gain = gain.value, bias = bias.value](int m) {
            const float* from = x[m];
            Vec total{}, squares{};
            for (int i = 0; i < width; i += LANES) total += load(from + i);
            const float mean = sum(total) / width;
            for (int i = 0; i < width; i += LANES) {
                const Vec centered = load(from + i) - mean;
                squares += centered * centered;
            }
            const float inverse = cache.inverse[m] = 1.0f / std::sqrt(sum(squares) / width + NORM_EPS);
            float* standardized = cache.standardized[m];
            return [=](int i) {
                const Vec standard = (load(from + i) - mean) * inverse;
                store(standardized + i, standard);
                return standard * load(gain + i) + load(bias + i);
            };
        });
    }

    // Adds to the gradients of gain and bias, and to d_x what comes through the norm, from the gradient of its outputs.
    void backward(const Microbatch& batch, const NormCache& cache, const View& d_outputs, const View& d_x) const {
        float *d_gain = gain.gradient, *d_bias = bias.gradient;
        for (int m = 0; m < batch.tokens; m++) {
            const float *d = d_outputs[m], *standard = cache.standardized[m];
            Vec total{}, along{};
            for (int i = 0; i < width; i += LANES) {
                const Vec dy = load(d + i), s = load(standard + i), ds = dy * load(gain.value + i);
                store(d_gain + i, load(d_gain + i) + dy * s);
                store(d_bias + i, load(d_bias + i) + dy);
                total += ds;
                along += ds * s;
            }
            const float mean = sum(total) / width, slope = sum(along) / width, inverse = cache.inverse[m];
            for (int i = 0; i < width; i += LANES) {
                const Vec ds = load(d + i) * load(gain.value + i) - mean - load(standard + i) * slope;
                store(d_x[m] + i, load(d_x[m] + i) + ds * inverse);
            }
        }
    }
};
