// Forward and backward pass of a model. Each micro-batch goes through all layers and back before the next one does.
#pragma once

#include <string>

#include "attention.h"
#include "head.h"
#include "mlp.h"

class Model {
  public:
    std::string layout;  // the parameters in the order in which they are read: a line with the name and sizes of each

    explicit Model(const Form& form) : form(form), layers(form.layers), attention(form) {
        for (Layer& layer : layers) layer.attention.allocate(fixed, form), layer.mlp.allocate(fixed, form);
        last_norm.set(form), head.allocate(fixed, form);
        each_parameter([&](int layer, const char* name, const char* kind, Parameter&, int rows, int columns) {
            if (layer >= 0) layout += "blocks." + std::to_string(layer) + ".";
            layout = layout + name + "." + kind + " " + std::to_string(rows);
            layout += columns ? " " + std::to_string(columns) + "\n" : "\n";
        });
    }

    // Returns the sum of the targets' cross-entropies in nats. `gradients`, unless null, receives the gradients of
    // scale · sum. `nats` and `correct`, unless null, receive each token's loss and whether its target has the largest
    // logit. cos, sin [time, head / 2]: from `rotation` in train/architectures/rotary.py.
    double run(const float* const* values, float* const* gradients, const int32_t* inputs, const int32_t* targets,
               int windows, int time, const float* cos, const float* sin, float scale, float* nats, bool* correct) {
        const int most = std::max(1, std::min({windows, MICROBATCH / time, 2 * MICROBATCH / pad_to_block(time)}));
        with_gradients = gradients != nullptr;
        reserve(most, time);
        begin(values, gradients);
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
        if (with_gradients) end();
        return total;
    }

  private:
    struct Layer {
        Attention attention;
        Mlp mlp;
        AttentionCache attention_cache;
        MlpCache mlp_cache;
    };

    const Form form;
    Parameter embedding;
    std::vector<Layer> layers;
    Norm last_norm;
    NormCache last_cache;
    Head head;
    AttentionPass attention;
    Workspace workspace;
    Memory fixed, sized;          // buffers that depend on the form alone, and on the windows
    bool with_gradients = false;  // whether this pass computes gradients
    bool keeps_all = false;       // whether each layer has a cache; scores need one for all layers
    int most_tokens = 0, most_window_rows = 0, most_time = 0;

    AttentionCache& attention_cache(int l) { return layers[with_gradients ? l : 0].attention_cache; }
    MlpCache& mlp_cache(int l) { return layers[with_gradients ? l : 0].mlp_cache; }

    // visit(layer, name, kind, parameter, rows, columns) for each parameter in the order of train/native/form.py; the
    // layer is -1 outside the layers.
    template <class F>
    void each_parameter(F visit) {
        const auto in_layer = [&](int l) {
            return [&visit, l](const char* name, const char* kind, Parameter& parameter, int rows, int columns) {
                visit(l, name, kind, parameter, rows, columns);
            };
        };
        visit(-1, "embedding", "weight", embedding, form.vocab, form.width);
        for (int l = 0; l < form.layers; l++) {
            layers[l].attention.each_parameter(in_layer(l));
            layers[l].mlp.each_parameter(in_layer(l));
        }
        last_norm.each_parameter("norm", in_layer(-1));
        if (!form.tied) visit(-1, "head", "weight", head.weight, form.vocab, form.width);
    }

    // Allocates buffers for the largest micro-batch so far. Shorter windows use a part of them.
    void reserve(int windows, int time) {
        const int rows = pad_to_block(time);
        const bool fits = windows * time <= most_tokens && windows * rows <= most_window_rows && rows <= most_time;
        if (fits && keeps_all >= with_gradients) return;
        const int tokens = std::max(most_tokens, windows * time), longest = std::max(most_time, rows);
        const int window_rows = std::max(most_window_rows, windows * rows), padded = pad_to_block(tokens);
        sized.clear();
        most_tokens = most_window_rows = most_time = 0;  // until all is allocated
        keeps_all |= with_gradients;
        for (int l = 0; l < (keeps_all ? form.layers : 1); l++) {
            attention.allocate_cache(sized, layers[l].attention_cache, padded, window_rows, longest);
            layers[l].mlp_cache.allocate(sized, padded, form);
        }
        last_cache.allocate(sized, padded, form.width);
        workspace.allocate(sized, padded, form);
        attention.allocate(sized, longest);
        most_tokens = tokens, most_window_rows = window_rows, most_time = longest;
    }

    void begin(const float* const* values, float* const* gradients) {
        int p = 0;
        each_parameter([&](int, const char*, const char*, Parameter& parameter, int, int) {
            parameter = {values[p], gradients ? gradients[p] : nullptr}, p++;
        });
        if (form.tied) head.weight = embedding;
        for (Layer& layer : layers) layer.attention.begin(), layer.mlp.begin();
        head.begin();
    }

    void end() const {
        for (const Layer& layer : layers) layer.attention.end(), layer.mlp.end();
        head.end();
    }

    void forward(const int32_t* inputs) {
        const int tokens = workspace.batch.tokens, width = form.width;
        for (int m = 0; m < tokens; m++) copy(embedding.value + (long)inputs[m] * width, width, workspace.x[m]);
        for (int l = 0; l < form.layers; l++) {
            attention.forward(layers[l].attention, workspace, attention_cache(l));
            layers[l].mlp.forward(workspace, mlp_cache(l));
        }
        last_norm.forward(workspace.batch, workspace.x, last_cache);
    }

    void backward(const int32_t* inputs) {
        const int tokens = workspace.batch.tokens, width = form.width;
        for (int m = 0; m < tokens; m++) std::fill_n(workspace.d_x[m], width, 0.0f);
        last_norm.backward(workspace.batch, last_cache, workspace.narrow, workspace.d_x);
        for (int l = form.layers - 1; l >= 0; l--) {
            layers[l].mlp.backward(workspace, mlp_cache(l));
            attention.backward(layers[l].attention, workspace, attention_cache(l));
        }
        for (int m = 0; m < tokens; m++) {
            float* to = embedding.gradient + (long)inputs[m] * width;
            for (int i = 0; i < width; i += LANES) store(to + i, load(to + i) + load(workspace.d_x[m] + i));
        }
    }
};
