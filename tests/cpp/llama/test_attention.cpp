#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "ggml.h"

namespace {

constexpr float kUnseen = -std::numeric_limits<float>::infinity();

struct Shape {
    const char *name;
    int size; // of a head
    int heads;
    int kv_heads;
    int tokens;
    int streams;
    int cells;
    bool masked = true;
    bool sinks = false;
    float max_bias = 0.0F;
    float softcap = 0.0F;
    float noise = 0.0F; // in the mask
};

// Shapes on both sides of every decision: one head of a block or all, cells shared out or not, blocks that
// end early, queries that are not a multiple of what the registers hold, operands that are left to ggml.
constexpr auto kShapes = std::to_array<Shape>({
    {"one stream", 64, 9, 3, 1, 1, 576},
    {"one stream, long", 64, 9, 3, 1, 1, 3000},
    {"streams", 64, 9, 3, 1, 32, 300},
    {"a chunk", 64, 9, 3, 16, 1, 200},
    {"a long chunk", 64, 4, 2, 130, 1, 300},
    {"streams with chunks", 128, 32, 8, 9, 2, 128},
    {"no groups", 80, 6, 6, 7, 3, 100},
    {"groups of seven", 64, 14, 2, 3, 2, 65},
    {"one KV head", 96, 4, 1, 5, 1, 64},
    {"a wide head", 256, 4, 1, 2, 2, 130},
    {"sees everything", 64, 12, 12, 20, 1, 37, false},
    {"one cell", 64, 2, 1, 1, 1, 1},
    {"sinks", 64, 8, 2, 3, 2, 90, true, true},
    {"sinks, one stream", 64, 8, 2, 1, 1, 700, true, true},
    {"a mask of numbers", 64, 8, 2, 20, 1, 90, true, false, 0.0F, 0.0F, 1.0F},
    {"linear biases", 64, 8, 8, 4, 2, 90, true, false, 8.0F, 0.0F, 1.0F},
    {"linear biases, not a power of two", 64, 12, 4, 4, 1, 90, true, false, 8.0F, 0.0F, 1.0F},
    {"soft caps are ggml's", 64, 8, 2, 3, 2, 90, true, false, 0.0F, 30.0F},
    {"an odd size is ggml's", 36, 2, 2, 3, 1, 90},
});

class Attention {
  public:
    explicit Attention(const Shape &shape)
        : shape_(shape),
          context_(ggml_init({.mem_size = 32 * ggml_tensor_overhead() + 4 * ggml_graph_overhead(),
                              .mem_buffer = nullptr,
                              .no_alloc = true})) {
        // As llama.cpp lays a cache out: the heads of a cell beside each other.
        const auto row = static_cast<std::int64_t>(shape.size) * shape.kv_heads;
        queries_ = make(GGML_TYPE_F32, {shape.size, shape.heads, shape.tokens, shape.streams});
        keys_ = make(GGML_TYPE_F16, {row, shape.cells, shape.streams, 1});
        values_ = make(GGML_TYPE_F16, {row, shape.cells, shape.streams, 1});
        mask_ = shape.masked ? make(GGML_TYPE_F16, {shape.cells, shape.tokens, 1, shape.streams}) : nullptr;
        sinks_ = make(GGML_TYPE_F32, {shape.heads, 1, 1, 1});
        output_ = ggml_flash_attn_ext(context_.get(), ggml_permute(context_.get(), queries_, 0, 2, 1, 3),
                                      heads_of(keys_), heads_of(values_), mask_, scale(), shape.max_bias,
                                      shape.softcap);
        if (shape.sinks) {
            ggml_flash_attn_ext_add_sinks(output_, sinks_);
        }
        buffer_.reset(ggml_backend_alloc_ctx_tensors(context_.get(), backend_.get()));
        std::normal_distribution<float> normal;
        for (ggml_tensor *tensor : {queries_, keys_, values_, sinks_}) {
            fill(tensor, [&](std::int64_t) { return normal(random_); });
        }
        if (mask_ != nullptr) {
            fill(mask_, [&](std::int64_t i) { return mask_at(i) + shape_.noise * normal(random_); });
        }
    }

    std::vector<float> computed(int n_threads) {
        ggml_backend_cpu_set_n_threads(backend_.get(), n_threads);
        ggml_cgraph *graph = ggml_new_graph(context_.get());
        ggml_build_forward_expand(graph, output_);
        std::vector<float> result(static_cast<std::size_t>(ggml_nelements(output_)), NAN);
        ggml_backend_tensor_set(output_, result.data(), 0, ggml_nbytes(output_)); // all of it must be written
        CHECK_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
        ggml_backend_tensor_get(output_, result.data(), 0, ggml_nbytes(output_));
        return result;
    }

    // The formula, in double precision.
    std::vector<float> expected() {
        const std::vector<float> queries = read(queries_);
        const std::vector<float> keys = read(keys_);
        const std::vector<float> values = read(values_);
        const std::vector<float> sinks = read(sinks_);
        const std::vector<float> mask = mask_ == nullptr ? std::vector<float>() : read(mask_);
        std::vector<float> result;
        for (int row = 0; row < shape_.streams * shape_.tokens * shape_.heads; ++row) {
            const int head = row % shape_.heads;
            const int token = row / shape_.heads; // counted through all streams
            const int first_cell = token / shape_.tokens * shape_.cells;
            const int kv_head = head / (shape_.heads / shape_.kv_heads);
            const auto of_cell = [&](int cell) {
                return (static_cast<std::size_t>(first_cell + cell) * shape_.kv_heads + kv_head) *
                       shape_.size;
            };
            const float *query = queries.data() + static_cast<std::size_t>(row) * shape_.size;
            std::vector<double> output(shape_.size);
            double sum = shape_.sinks ? std::exp(sinks[head]) : 0.0;
            for (int cell = 0; cell < shape_.cells; ++cell) {
                double score = 0.0;
                for (int i = 0; i < shape_.size; ++i) {
                    score += static_cast<double>(query[i]) * keys[of_cell(cell) + i];
                }
                score *= scale();
                if (shape_.softcap != 0.0F) {
                    score = shape_.softcap * std::tanh(score / shape_.softcap);
                }
                if (!mask.empty()) {
                    score += slope(head) * mask[static_cast<std::size_t>(token) * shape_.cells + cell];
                }
                const double weight = std::exp(score);
                sum += weight;
                for (int i = 0; weight > 0.0 && i < shape_.size; ++i) {
                    output[i] += weight * values[of_cell(cell) + i];
                }
            }
            for (const double number : output) {
                result.push_back(static_cast<float>(sum == 0.0 ? 0.0 : number / sum));
            }
        }
        return result;
    }

    // Makes NaN of what no token of a stream sees: what ended there before may have left anything.
    void spoil_unseen() {
        for (ggml_tensor *tensor : {keys_, values_}) {
            std::vector<float> numbers = read(tensor);
            fill(tensor, [&](std::int64_t i) {
                const std::int64_t cell = i / tensor->ne[0];
                const std::int64_t stream = cell / shape_.cells;
                const std::int64_t last_token = (stream + 1) * shape_.tokens - 1;
                const bool seen = mask_at(last_token * shape_.cells + cell % shape_.cells) == 0.0F;
                return seen ? numbers[static_cast<std::size_t>(i)] : NAN;
            });
        }
    }

    static double difference(const std::vector<float> &computed, const std::vector<float> &expected) {
        double difference = 0.0;
        double size = 0.0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            difference += std::pow(computed[i] - expected[i], 2.0);
            size += std::pow(expected[i], 2.0);
        }
        return std::sqrt(difference / size);
    }

  private:
    ggml_tensor *make(ggml_type type, const std::array<std::int64_t, 4> &sizes) {
        return ggml_new_tensor(context_.get(), type, 4, sizes.data());
    }

    ggml_tensor *heads_of(ggml_tensor *cache) {
        const std::size_t head = cache->nb[0] * shape_.size;
        return ggml_view_4d(context_.get(), cache, shape_.size, shape_.cells, shape_.kv_heads, shape_.streams,
                            cache->nb[1], head, cache->nb[2], 0);
    }

    float scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.size)); }

    // Streams are filled differently far, and one sees nothing at all; tokens see what comes before them.
    float mask_at(std::int64_t i) const {
        const auto cell = static_cast<int>(i % shape_.cells);
        const auto token = static_cast<int>(i / shape_.cells % shape_.tokens);
        const auto stream = static_cast<int>(i / shape_.cells / shape_.tokens);
        const int filled = stream % 7 == 1 ? 0 : shape_.cells - stream * 37 % (shape_.cells / 2 + 1);
        return cell < filled - (shape_.tokens - 1 - token) ? 0.0F : kUnseen;
    }

    // As the paper on linear biases has it, m = 2^(-8/n), for max_bias 8.
    double slope(int head) const {
        if (shape_.max_bias == 0.0F) {
            return 1.0;
        }
        int n = 1;
        while (n * 2 <= shape_.heads) {
            n *= 2;
        }
        const double bias = -shape_.max_bias;
        return head < n ? std::pow(std::pow(2.0, bias / n), head + 1)
                        : std::pow(std::pow(2.0, bias / 2.0 / n), 2 * (head - n) + 1);
    }

    static void fill(ggml_tensor *tensor, const std::function<float(std::int64_t)> &number) {
        for (std::int64_t i = 0; i < ggml_nelements(tensor); ++i) {
            const float value = number(i);
            const ggml_fp16_t half = ggml_fp32_to_fp16(value);
            const bool is_half = tensor->type == GGML_TYPE_F16;
            ggml_backend_tensor_set(tensor, is_half ? static_cast<const void *>(&half) : &value,
                                    static_cast<std::size_t>(i) * tensor->nb[0], tensor->nb[0]);
        }
    }

    static std::vector<float> read(const ggml_tensor *tensor) {
        const auto n = static_cast<std::size_t>(ggml_nelements(tensor));
        std::vector<float> numbers(n);
        if (tensor->type == GGML_TYPE_F32) {
            ggml_backend_tensor_get(tensor, numbers.data(), 0, ggml_nbytes(tensor));
            return numbers;
        }
        std::vector<ggml_fp16_t> halves(n);
        ggml_backend_tensor_get(tensor, halves.data(), 0, ggml_nbytes(tensor));
        std::transform(halves.begin(), halves.end(), numbers.begin(), ggml_fp16_to_fp32);
        return numbers;
    }

    Shape shape_;
    std::mt19937 random_{7};
    ggml_backend_ptr backend_{ggml_backend_cpu_init()};
    ggml_context_ptr context_;
    ggml_backend_buffer_ptr buffer_;
    ggml_tensor *queries_, *keys_, *values_, *mask_, *sinks_, *output_;
};

} // namespace

TEST("attention is what its formula says") {
    for (const Shape &shape : kShapes) {
        Attention attention(shape);
        const std::vector<float> expected = attention.expected();
        const bool is_ggmls = shape.softcap != 0.0F || shape.size % 16 != 0;
        const double tolerance = is_ggmls ? 1e-2 : 1e-5; // ggml's queries and sums have 16 bits
        for (const int n_threads : {1, 2, 5}) {
            const double error = Attention::difference(attention.computed(n_threads), expected);
            if (!(error < tolerance)) { // nor is it a number that is none
                std::cerr << shape.name << ", " << n_threads << " threads:\n";
                CHECK_EQ(error, 0.0);
            }
        }
    }
}

TEST("what nobody sees behind the last cell may be anything") {
    for (const Shape &shape :
         {Shape{"few streams", 64, 9, 3, 1, 3, 600}, Shape{"streams", 64, 9, 3, 1, 32, 300},
          Shape{"chunks", 128, 8, 2, 9, 3, 200}}) {
        Attention attention(shape);
        const std::vector<float> expected = attention.expected();
        attention.spoil_unseen();
        for (const int n_threads : {1, 5}) {
            CHECK(Attention::difference(attention.computed(n_threads), expected) < 1e-5);
        }
    }
}
