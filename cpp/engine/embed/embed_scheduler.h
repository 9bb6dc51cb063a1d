// Which inputs are computed next, and what has come of those before. Decides only; knows no model.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "embed/embed_job.h"
#include "embed/embedding_runner.h"

namespace llamad {

// Inputs of the jobs go round: each batch takes one of every job in turn until it is full, so that a short
// job is not held up by a long one. An input that is computed in parts takes turns with the batches of the
// others.
//
// Threading: belongs to the engine thread.
class EmbedScheduler {
  public:
    explicit EmbedScheduler(const EmbeddingLimits &limits) : limits_(limits) {}

    void admit(std::unique_ptr<EmbedJob> job);

    // What is to be computed next; empty where there is nothing to do. The pieces point into the jobs.
    std::vector<Piece> plan();

    // Whether the piece's job has not ended since.
    bool is_due(const Piece &piece) const { return jobs_.contains(piece.job); }

    // Whether the piece, which is due, is the last of its input.
    bool is_last(const Piece &piece) const;

    // Takes what was computed of a piece, n_out floats. Returns the job's end where this was the last of it.
    // A job whose values are not finite numbers fails.
    std::optional<EmbedEnd> complete(const Piece &piece, std::span<const float> pooled);

    // Ends a job; nothing where there is none of this id.
    std::optional<EmbedEnd> end(RequestId id, FinishReason reason, ErrorKind error = ErrorKind::kNone,
                                std::string message = {});

    // The job that was submitted first; 0: there is none.
    RequestId oldest() const { return jobs_.empty() ? 0 : jobs_.begin()->first; }
    TimePoint submitted_at(RequestId id) const { return jobs_.at(id).job->submitted_at; }

    std::size_t n_jobs() const { return jobs_.size(); }
    std::size_t n_started() const;

  private:
    struct Work {
        std::unique_ptr<EmbedJob> job;
        std::size_t n_planned = 0;  // inputs that have been in a batch, or are the long one
        std::size_t n_complete = 0; // inputs whose values are there
        std::vector<float> values;
        TimePoint started_at;
    };
    using Jobs = std::map<RequestId, Work>; // in order of submission

    // An input that is computed in parts.
    struct LongInput {
        RequestId job;
        std::size_t input;
        std::size_t n_computed;
    };

    std::vector<Piece> gather();
    bool place(Jobs::value_type &entry, std::vector<Piece> &batch, std::size_t &n_tokens) const;
    void choose_long();
    Piece next_part(const LongInput &input) const;
    bool has_more(const Work &work) const { return work.n_planned < work.job->inputs.size(); }
    bool in_parts(const std::vector<TokenId> &tokens) const;
    static std::size_t take_input(Work &work);
    std::span<float> values_of(Work &work, std::size_t input) const;
    void add_part(std::span<float> sum, const Piece &piece, std::span<const float> pooled) const;

    const EmbeddingLimits limits_;
    Jobs jobs_;
    RequestId first_ = 0;      // whose turn it is
    RequestId first_long_ = 0; // and with an input that is computed in parts
    std::optional<LongInput> long_;
    bool long_ran_last_ = false;
};

} // namespace llamad
