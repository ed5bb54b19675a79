// Forward and backward pass of the model of train/model.py, one micro-batch after the other through all layers and
// back.
#pragma once

#include "attention.h"
#include "head.h"
#include "mlp.h"

class Model {
  public:
    Model(int layers, int width, int heads, int vocab)
        : width(width), vocab(vocab), layers(layers), attention(heads, width / heads) {
        for (Layer& layer : this->layers)
            layer.attention.allocate(fixed, width), layer.mlp.allocate(fixed, width, 4 * width);
        last_norm.width = width;
        head.allocate(fixed, width, vocab);
    }

    // Sum over targets of the cross-entropy in nats. `gradients` (or null: none) receive the gradients of scale · sum.
    // nats and correct (or null) receive each token's loss and whether its target has the largest logit.
    // cos, sin [time, head / 2]: the angles of train/model.py `rotation`.
    double run(const float* const* values, float* const* gradients, const int32_t* inputs, const int32_t* targets,
               int windows, int time, const float* cos, const float* sin, float scale, float* nats, bool* correct) {
        const int most = std::max(1, std::min({windows, MICROBATCH / time, 2 * MICROBATCH / pad_to_block(time)}));
        with_gradients = gradients != nullptr;
        bind(values, gradients);
        reserve(most, time);
        for (Layer& layer : layers) layer.attention.begin(), layer.mlp.begin();
        head.begin();
        attention.set_rotation(cos, sin, time);
        double total = 0;
        for (int window = 0; window < windows; window += most) {
            const long first = (long)window * time;
            const int count = std::min(most, windows - window), tokens = count * time;
            workspace.batch = {count, time, pad_to_block(time), tokens, pad_to_block(tokens)};
            const Targets wanted{targets + first, nats ? nats + first : nullptr, correct ? correct + first : nullptr};
            forward(inputs + first);
            total += head.pass(workspace.batch, last_cache.outputs, wanted, scale, workspace.narrow);
            if (with_gradients) backward(inputs + first);
        }
        if (!with_gradients) return total;
        for (const Layer& layer : layers) layer.attention.end(), layer.mlp.end();
        head.end();
        return total;
    }

  private:
    struct Layer {
        Attention attention;
        Mlp mlp;
        AttentionCache attention_cache;
        MlpCache mlp_cache;
    };

    const int width, vocab;
    Parameter embedding;  // the head's weight, too
    std::vector<Layer> layers;
    Norm last_norm;
    NormCache last_cache;
    Head head;
    AttentionPass attention;
    Workspace workspace;
    Memory fixed, sized;          // what depends on the form alone, and what depends on the windows
    bool with_gradients = false;  // whether this pass computes gradients
    bool keeps_all = false;       // whether there is a cache for each layer; scores need one for all of them
    int most_tokens = 0, most_window_rows = 0, most_time = 0;

    AttentionCache& attention_cache(int l) { return layers[with_gradients ? l : 0].attention_cache; }
    MlpCache& mlp_cache(int l) { return layers[with_gradients ? l : 0].mlp_cache; }

    // Parameters are in the order of `model.parameters()`.
    void bind(const float* const* values, float* const* gradients) {
        int p = 0;
        const auto next = [&](Parameter& parameter) {
            parameter.value = values[p], parameter.gradient = gradients ? gradients[p] : nullptr, p++;
        };
        const auto next_norm = [&](Norm& norm) { next(norm.gain), next(norm.bias); };
        const auto next_linear = [&](Linear& linear) { next(linear.weight), next(linear.bias); };
        next(embedding);
        for (Layer& layer : layers) {
            next_norm(layer.attention.norm), next_linear(layer.attention.qkv), next_linear(layer.attention.out);
            next_norm(layer.mlp.norm), next_linear(layer.mlp.up), next_linear(layer.mlp.down);
        }
        next_norm(last_norm);
        head.weight = embedding;
    }

    // Buffers for the largest micro-batch so far: shorter windows use a part of them.
    void reserve(int windows, int time) {
        const int rows = pad_to_block(time);
        const bool fits = windows * time <= most_tokens && windows * rows <= most_window_rows && rows <= most_time;
        if (fits && keeps_all >= with_gradients) return;
        const int tokens = std::max(most_tokens, windows * time), longest = std::max(most_time, rows);
        const int window_rows = std::max(most_window_rows, windows * rows), padded = pad_to_block(tokens);
        sized.clear();
        most_tokens = most_window_rows = most_time = 0;  // until all of it is there
        keeps_all |= with_gradients;
        for (size_t l = 0; l < (keeps_all ? layers.size() : 1); l++) {
            attention.allocate_cache(sized, layers[l].attention_cache, padded, window_rows, longest);
            layers[l].mlp_cache.allocate(sized, padded, width, 4 * width);
        }
        last_cache.allocate(sized, padded, width);
        workspace.allocate(sized, padded, width, 4 * width);
        attention.allocate(sized, longest);
        most_tokens = tokens, most_window_rows = window_rows, most_time = longest;
    }

    void forward(const int32_t* inputs) {
        const Microbatch& batch = workspace.batch;
        for (int m = 0; m < batch.tokens; m++) copy(embedding.value + (long)inputs[m] * width, width, workspace.x[m]);
        for (size_t l = 0; l < layers.size(); l++) {
            attention.forward(layers[l].attention, workspace, attention_cache(l));
            layers[l].mlp.forward(workspace, mlp_cache(l));
        }
        last_norm.forward(batch, workspace.x, last_cache);
    }

    void backward(const int32_t* inputs) {
        const Microbatch& batch = workspace.batch;
        for (int m = 0; m < batch.tokens; m++) std::fill_n(workspace.d_x[m], width, 0.0f);
        last_norm.backward(batch, last_cache, workspace.narrow, workspace.d_x);
        for (int l = layers.size() - 1; l >= 0; l--) {
            layers[l].mlp.backward(workspace, mlp_cache(l));
            attention.backward(layers[l].attention, workspace, attention_cache(l));
        }
        for (int m = 0; m < batch.tokens; m++) {
            float* to = embedding.gradient + (long)inputs[m] * width;
            for (int i = 0; i < width; i += LANES) store(to + i, load(to + i) + load(workspace.d_x[m] + i));
        }
    }
};
