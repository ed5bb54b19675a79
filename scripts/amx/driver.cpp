// Process 1 of the guest. It runs the cases with each library that an argument names, and writes the answers to Bochs's
// debugging port.
#include <dlfcn.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

static FILE* cases;
static void* library;
static bool silent;

static void answer(const char* tag, const void* data, uint64_t size) {
    char head[16] = {};
    strncpy(head, tag, 8), memcpy(head + 8, &size, 8);
    if (silent) return;
    asm volatile("" ::"r"(head), "r"(data) : "memory");  // outsb does not tell the compiler what it reads
    outsb(0xe9, head, sizeof head);
    outsb(0xe9, data, size);
}

template <class T>
static T* take(size_t count) {  // the last byte lies before a page that may not be touched
    const size_t page = 4096, bytes = count * sizeof(T), room = (bytes + page - 1) / page * page;
    char* start = (char*)mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + room, page, PROT_NONE)) abort();
    return (T*)(start + room - bytes);
}

template <class T>
static T* given(size_t count) {
    T* data = take<T>(count);
    if (fread(data, sizeof(T), count, cases) != count) abort();
    return data;
}

template <class F>
static F function(const char* name) {
    void* found = dlsym(library, name);
    if (!found) abort();
    return (F)found;
}

static void passes() {
    const int bytes = *given<int>(1);
    const char* form = given<char>(bytes);
    const int count = *given<int>(1), *shape = given<int>(2), half = *given<int>(1);
    const int64_t* sizes = given<int64_t>(count);
    float *parameters[count], *grads[count];
    for (int p = 0; p < count; p++) parameters[p] = given<float>(sizes[p]), grads[p] = take<float>(sizes[p]);
    const int tokens = shape[0] * shape[1];
    int *inputs = given<int>(tokens), *targets = given<int>(tokens);
    float *cos = given<float>(shape[1] * half), *sin = given<float>(shape[1] * half), scale = *given<float>(1);
    float* nats = take<float>(tokens);
    bool* correct = take<bool>(tokens);
    void* model = function<void* (*)(const char*)>("kc_make_model")(form);
    using Gradients =
        double (*)(void*, float**, float**, const int64_t*, int, int*, int*, int, int, float*, float*, float);
    const double total = function<Gradients>("kc_gradients")(model, parameters, grads, sizes, count, inputs, targets,
                                                             shape[0], shape[1], cos, sin, scale);
    using Score = double (*)(void*, float**, int*, int*, int, int, float*, float*, float*, bool*);
    function<Score>("kc_score")(model, parameters, inputs, targets, shape[0], shape[1], cos, sin, nats, correct);
    answer("total", &total, sizeof total);
    for (int p = 0; p < count; p++) answer("grad", grads[p], sizes[p] * 4);
    answer("nats", nats, tokens * 4);
    answer("correct", correct, tokens);
}

static void steps() {
    const int *shape = given<int>(3), count = *given<int>(1), size = shape[0] * shape[1];
    const float* rates = given<float>(3);
    float *weight = given<float>(size), *average = take<float>(size);
    void* muon = function<void* (*)()>("kc_muon")();
    using Step = bool (*)(void*, float*, float*, float*, int, int, int, float, float, float, float);
    const auto step = function<Step>("kc_muon_step");
    for (int n = 0; n < count; n++) {
        float* grad = given<float>(size);
        if (!step(muon, weight, grad, average, shape[0], shape[1], shape[2], 1, rates[0], rates[1], rates[2])) abort();
    }
    answer("weight", weight, size * 4l);
}

// Runs the cases of a file in a new process, or only the first one and without asking for tiles. Returns how the
// process ended.
static int run(const char* path, const char* file, void (*one)(), bool ask) {
    const pid_t child = fork();
    if (!child) {
        silent = !ask, cases = fopen(file, "rb"), library = dlopen(path, RTLD_NOW);
        if (!cases || !library) abort();
        const char permitted = ask && function<bool (*)()>("kc_permitted")();
        answer("allowed", &permitted, 1);
        do one();
        while (ask && ungetc(fgetc(cases), cases) != EOF);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

int main(int count, char** names) {
    if (iopl(3)) abort();
    answer("begin", "", 0);
    for (int n = 1; n < count; n++) {
        char path[99];
        snprintf(path, sizeof path, "/%s.so", names[n]);
        if (access(path, R_OK)) continue;  // an option of the kernel
        answer("library", names[n], strlen(names[n]));
        for (int ask = 0; ask < 2; ask++)
            for (int kind = 0; kind < 2; kind++) {
                const int status = run(path, kind ? "/steps" : "/passes", kind ? steps : passes, ask);
                answer(ask ? "ended" : "unasked", &status, 4);
            }
    }
    answer("end", "", 0);
    outsb(0x8900, "Shutdown", 8);
    pause();
}
