// Layer norm brings each token's features to mean 0 and variance 1, multiplies by a gain and adds a bias. RMS norm
// brings them to mean square 1, without subtracting a mean and without a bias (Zhang and Sennrich 2019, arXiv
// 1910.07467).
#pragma once

#include <cmath>

#include "linear.h"

struct NormCache {  // the results of a norm over a micro-batch
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
    Parameter gain, bias;

    void set(const Form& form) { width = form.width, eps = form.norm_eps, kind = form.norm; }

    template <class F>
    void each_parameter(const char* name, F visit) {
        visit(name, "weight", gain, width, 0);
        if (kind == LAYER_NORM) visit(name, "bias", bias, width, 0);
    }

    void forward(const Microbatch& batch, const View& x, NormCache& cache) const {
        kind == LAYER_NORM ? forward_as<LAYER_NORM>(batch, x, cache) : forward_as<RMS_NORM>(batch, x, cache);
    }

    // Adds to the gradients of gain and bias, and to d_x, from the gradient of the outputs.
    void backward(const Microbatch& batch, const NormCache& cache, const View& d_outputs, const View& d_x) const {
        kind == LAYER_NORM ? backward_as<LAYER_NORM>(batch, cache, d_outputs, d_x)
                           : backward_as<RMS_NORM>(batch, cache, d_outputs, d_x);
    }

  private:
    int width = 0;
    float eps = 0;
    NormKind kind = LAYER_NORM;

    template <NormKind KIND>
    void forward_as(const Microbatch& batch, const View& x, NormCache& cache) const {
        write(cache.outputs, batch, width, [&, gain = gain.value, bias = bias.value](int m) {
            const float* from = x[m];
            Vec total{}, squares{};
            for (int i = 0; KIND == LAYER_NORM && i < width; i += LANES) total += load(from + i);
            const float mean = sum(total) / width;
            for (int i = 0; i < width; i += LANES) {
                const Vec centered = load(from + i) - mean;
                squares += centered * centered;
            }
            const float inverse = cache.inverse[m] = 1.0f / std::sqrt(sum(squares) / width + eps);
            float* standardized = cache.standardized[m];
            return [=](int i) {
                const Vec standard = (load(from + i) - mean) * inverse;
                store(standardized + i, standard);
                return KIND == LAYER_NORM ? standard * load(gain + i) + load(bias + i) : standard * load(gain + i);
            };
        });
    }

    template <NormKind KIND>
    void backward_as(const Microbatch& batch, const NormCache& cache, const View& d_outputs, const View& d_x) const {
        float *d_gain = gain.gradient, *d_bias = bias.gradient;
        for (int m = 0; m < batch.tokens; m++) {
            const float *d = d_outputs[m], *standard = cache.standardized[m];
            Vec total{}, along{};
            for (int i = 0; i < width; i += LANES) {
                const Vec dy = load(d + i), s = load(standard + i), ds = dy * load(gain.value + i);
                store(d_gain + i, load(d_gain + i) + dy * s);
                if (KIND == LAYER_NORM) store(d_bias + i, load(d_bias + i) + dy), total += ds;
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
