#include <algorithm>
#include <set>
#include <vector>

#include "check.h"
#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "reference_chain.h"

#include "core/logit_scan.h"
#include "llama/shortlist_graph.h"

using namespace llamad;

namespace {

// [rows, layout.width], computed by ggml on the processors.
std::vector<std::vector<float>> records(const std::vector<Logits> &rows) {
    const ShortlistLayout layout(static_cast<std::int32_t>(rows.front().size()));
    const ggml_context_ptr context(ggml_init({.mem_size = 64 * ggml_tensor_overhead() + ggml_graph_overhead(),
                                              .mem_buffer = nullptr,
                                              .no_alloc = true}));
    ggml_tensor *logits = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, layout.n_vocab,
                                             static_cast<std::int64_t>(rows.size()));
    const ShortlistTensors found = find_groups(context.get(), logits);
    ggml_cgraph *graph = ggml_new_graph(context.get());
    std::vector<ggml_tensor *> parts;
    for (ggml_tensor *part : {found.groups, found.rest, found.block_indices, found.group_indices}) {
        if (part != nullptr) {
            parts.push_back(ggml_cont(context.get(), part));
            ggml_build_forward_expand(graph, parts.back());
        }
    }
    const ggml_backend_ptr backend(ggml_backend_cpu_init());
    const ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(context.get(), backend.get()));
    for (std::size_t i = 0; i < rows.size(); ++i) {
        ggml_backend_tensor_set(logits, rows[i].data(), i * logits->nb[1], logits->nb[1]);
    }
    CHECK_EQ(ggml_backend_graph_compute(backend.get(), graph), GGML_STATUS_SUCCESS);
    std::vector<std::vector<float>> result(rows.size());
    for (const ggml_tensor *part : parts) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const std::size_t end = result[i].size();
            result[i].resize(end + static_cast<std::size_t>(part->ne[0]));
            ggml_backend_tensor_get(part, &result[i][end], i * part->nb[1], part->nb[1]);
        }
    }
    for (const std::vector<float> &record : result) {
        CHECK_EQ(record.size(), static_cast<std::size_t>(layout.width));
    }
    return result;
}

void check_record(const Logits &logits, std::vector<float> &record) {
    const ShortlistLayout layout(static_cast<std::int32_t>(logits.size()));
    std::vector<TokenId> groups(groups_of(layout));
    const LogitRow row = read_record(layout, record, groups);
    CHECK_EQ(row.values().size(), static_cast<std::size_t>(layout.n_values));
    std::set<TokenId> among;
    for (std::size_t i = 0; i < row.values().size(); ++i) {
        const TokenId token = row.token(i);
        CHECK_EQ(row.values()[i], logits[static_cast<std::size_t>(token)]);
        among.insert(token);
    }
    CHECK_EQ(among.size(), row.values().size());
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < static_cast<std::size_t>(layout.n_groups); ++i) {
        least = std::min(least, max_logit(row.values().subspan(i * LogitRow::kGroup, LogitRow::kGroup)));
    }
    CHECK_EQ(row.bound(), least);
    for (std::size_t i = 0; i < logits.size(); ++i) {
        CHECK(among.contains(static_cast<TokenId>(i)) || logits[i] <= row.bound());
    }
}

} // namespace

TEST("what is found of a row has the likeliest tokens, and a bound for all others") {
    std::mt19937 random(1);
    // The last has fewer blocks than are taken, others logits that make no whole block.
    for (const std::size_t n_vocab : {49'152U, 50'257U, 128'256U, 32'000U, 16'384U}) {
        std::vector<Logits> rows;
        for (int i = 0; i < 3; ++i) {
            rows.push_back(random_row(random, n_vocab));
        }
        std::ranges::sort(rows[1]); // all likely tokens in a few groups
        std::fill(rows[2].begin(), rows[2].end() - 100, kMinusInf);
        auto found = records(rows);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            check_record(rows[i], found[i]);
        }
    }
}

TEST("a single row, and many") {
    std::mt19937 random(2);
    for (const std::size_t n_rows : {1U, 2U, 40U}) {
        std::vector<Logits> rows;
        for (std::size_t i = 0; i < n_rows; ++i) {
            rows.push_back(random_row(random, 20'011));
        }
        auto found = records(rows);
        for (std::size_t i = 0; i < n_rows; ++i) {
            check_record(rows[i], found[i]);
        }
    }
}

TEST("it takes as many operations for one row as for many, and sorts nothing long") {
    const auto operations = [](std::int64_t n_rows) {
        const ggml_context_ptr context(
            ggml_init({.mem_size = 64 * ggml_tensor_overhead() + ggml_graph_overhead(),
                       .mem_buffer = nullptr,
                       .no_alloc = true}));
        const ShortlistTensors found =
            find_groups(context.get(), ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, 262'144, n_rows));
        ggml_cgraph *graph = ggml_new_graph(context.get());
        for (ggml_tensor *part : {found.groups, found.block_indices, found.group_indices}) {
            ggml_build_forward_expand(graph, part);
        }
        for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
            const ggml_tensor *node = ggml_graph_node(graph, i);
            CHECK(node->op != GGML_OP_ARGSORT || node->ne[0] <= 1024);
        }
        return ggml_graph_n_nodes(graph);
    };
    CHECK_EQ(operations(1), operations(128));
    CHECK(operations(128) < 20);
}
