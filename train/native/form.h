// The shape of a model. KernelForm in train/native/form.py explains each field.
#pragma once

#include <cstdint>

enum NormKind : int32_t { LAYER_NORM, RMS_NORM };
enum MlpKind : int32_t { PLAIN_MLP, GATED_MLP, NO_MLP };
enum Activation : int32_t { GELU_TANH, SILU };

struct Form {  // FormStruct in form.py has the same fields in the same order
    int32_t layers, width, heads, vocab;
    NormKind norm;
    float norm_eps;
    MlpKind mlp;
    int32_t hidden;
    Activation activation;
    int32_t qkv_bias, out_bias, mlp_bias, tied;

    int head() const { return width / heads; }
};
