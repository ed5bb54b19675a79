// Training on one core without PyTorch's operators: the functions that the Python files of train/native call. They
// trust what they are given; Python checks it. This file is compiled once for each instruction set, and runs only after
// Python has checked the processor.

#include <immintrin.h>

#include <ctime>

#include "model.h"
#include "optimizer.h"

#if !defined(KC_SOURCES)
#define KC_SOURCES "unknown"
#endif

// While this object exists, numbers below 1.2e-38 count as zero in this thread, and nowhere else. A processor needs a
// hundred times as long for each of them, and the softmax of a trained model makes so many that a pass would take twice
// as long as for a fresh model.
struct NoDenormals {
    const unsigned before = _mm_getcsr();
    NoDenormals() { _mm_setcsr(before | _MM_FLUSH_ZERO_ON | 0x40); }  // for results, and (0x40) for inputs
    ~NoDenormals() { _mm_setcsr(before); }
    NoDenormals(const NoDenormals&) = delete;
};

extern "C" {

// The version of the interface between library.py and these functions.
int kc_abi() { return 1; }

// The digest (sources.py) of the sources that this library was built from.
const char* kc_sources() { return KC_SOURCES; }

int kc_lanes() { return LANES; }

// Whether the system lets this process use the instructions, beyond what the processor can do.
bool kc_permitted() { return tiles_permitted(); }

// Whether products round their inputs to bf16.
bool kc_bf16() { return NUMBERS_IN<Number> == 2; }

// Returns null if there is not enough memory.
void* kc_make_model(const Form* form) {
    try {
        return new Model(*form);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void kc_free_model(void* model) { delete static_cast<Model*>(model); }

// The parameters that a model expects, in their order: a line with the name and sizes of each. The text exists as long
// as the model.
const char* kc_layout(void* model) { return static_cast<Model*>(model)->layout.c_str(); }

// Returns the sum of losses in nats, and writes the gradients of scale · sum to grads. Returns -1 if there is not
// enough memory.
double kc_gradients(void* model, const float* const* parameters, float* const* grads, const int64_t* sizes, int count,
                    const int32_t* inputs, const int32_t* targets, int rows, int time, const float* cos,
                    const float* sin, float scale) {
    for (int p = 0; p < count; p++) std::fill_n(grads[p], sizes[p], 0.0f);
    const TileSession session;
    const NoDenormals numbers;
    try {
        return static_cast<Model*>(model)->run(parameters, grads, inputs, targets, rows, time, cos, sin, scale, nullptr,
                                               nullptr);
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

double kc_score(void* model, const float* const* parameters, const int32_t* inputs, const int32_t* targets, int rows,
                int time, const float* cos, const float* sin, float* nats, bool* correct) {
    const TileSession session;
    const NoDenormals numbers;
    try {
        return static_cast<Model*>(model)->run(parameters, nullptr, inputs, targets, rows, time, cos, sin, 1, nats,
                                               correct);
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

float kc_clip_factor(const float* const* grads, const int64_t* sizes, int count, float most) {
    const NoDenormals numbers;
    return clip_factor(grads, sizes, count, most);
}

void kc_adamw(float* weight, const float* grad, float* mean, float* square, float* step, int64_t size, float factor,
              double lr, double decay, double beta1, double beta2, double eps) {
    const NoDenormals numbers;
    adamw(weight, grad, mean, square, step, size, factor, lr, decay, beta1, beta2, eps);
}

void* kc_muon() { return new (std::nothrow) Muon; }

void kc_free_muon(void* muon) { delete static_cast<Muon*>(muon); }

// Returns false if there is not enough memory.
bool kc_muon_step(void* muon, float* weight, const float* grad, float* average, int rows, int columns, int heads,
                  float factor, float lr, float decay, float momentum) {
    const TileSession session;
    const NoDenormals numbers;
    try {
        static_cast<Muon*>(muon)->step(weight, grad, average, rows, columns, heads, factor, lr, decay, momentum);
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

// The mean CPU seconds of `count` products [M, K] · [K, N], as the passes compute them, for a benchmark. Returns -1 if
// there is not enough memory.
double kc_product_seconds(int M, int N, int K, int count) {
    try {
        Memory memory;
        Operand a;
        Packed<Number> b;
        a.allocate(memory, M, K), b.allocate(memory, K, N);
        const View c = allocate_view(memory, M, round_up(N, PANEL));
        const TileSession session;
        const std::clock_t start = std::clock();
        for (int i = 0; i < count; i++)
            product(M, round_up(N, LANES), b.padded_depth(), a.left(), b.right(), c.data, c.stride);
        return (double)(std::clock() - start) / CLOCKS_PER_SEC / count;
    } catch (const std::bad_alloc&) {
        return -1;
    }
}
}
