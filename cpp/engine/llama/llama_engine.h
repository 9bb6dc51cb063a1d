// A loaded model with its engine: what the bindings expose.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/chat_template.h"
#include "core/engine.h"
#include "core/home_process.h"
#include "core/params.h"
#include "llama/llama_model.h"

namespace llamad {

// A request that is templated, tokenized and checked; an engine accepts it once.
struct Prepared {
    Prepared(std::vector<TokenId> tokens, std::vector<std::unique_ptr<Request>> made, std::uint64_t engine)
        : prompt(std::move(tokens)), n(made.size()), requests(std::move(made)), engine_id(engine) {}
    // Declared so that pybind11 does not take it for copyable.
    Prepared(const Prepared &) = delete;
    Prepared &operator=(const Prepared &) = delete;
    Prepared(Prepared &&) = default;
    Prepared &operator=(Prepared &&) = default;
    ~Prepared() = default;

    // Each completion as a request of its own, to be submitted when there is room; this is as good as
    // accepted then. Throws ParameterError where it has been.
    std::vector<Prepared> take_apart();

    std::vector<TokenId> prompt;
    std::size_t n;                                  // completions
    std::vector<std::unique_ptr<Request>> requests; // one for each; empty once accepted
    std::uint64_t engine_id;                  // of the one that prepared it; its address may have been reused
    std::shared_ptr<const ChatFormat> format; // of a chat's output; null: that is the answer as it is
};

// Threading: every method may be called from any thread. Preparing takes milliseconds and runs on the
// caller's thread; submit() and cancel() never wait. close() joins the engine thread. In a process that was
// forked off it is closed: methods throw EngineClosedError, close() does nothing, and it must not be
// destroyed.
class LlamaEngine {
  public:
    // Blocks while the model is read. Throws ParameterError or ModelError.
    LlamaEngine(const EngineConfig &config, const LlamaModel::Progress &progress);
    LlamaEngine(const LlamaEngine &) = delete;
    LlamaEngine &operator=(const LlamaEngine &) = delete;
    ~LlamaEngine() { close(); }

    const ModelInfo &info() const { return info_; }
    bool is_at_home() const { return home_.is_here(); }
    bool closed() const { return !is_at_home() || closed_.load(std::memory_order_acquire); }

    // `params` and `options` must have passed validate(). These throw RequestError where the request cannot
    // be carried out, EngineClosedError when closed.
    Prepared prepare(std::string_view prompt, const SamplingParams &params,
                     const RequestOptions &options) const;
    Prepared prepare(std::vector<TokenId> prompt, const SamplingParams &params,
                     const RequestOptions &options) const;
    // `conversation_json`: see read_conversation().
    Prepared prepare_chat(std::string_view conversation_json, SamplingParams params,
                          const RequestOptions &options) const;
    std::string apply_template(std::string_view conversation_json) const;
    // What comes between two texts; only for models that were trained for it.
    Prepared prepare_infill(std::string_view prefix, std::string_view suffix, const SamplingParams &params,
                            const RequestOptions &options) const;
    std::vector<TokenId> tokenize(std::string_view text, bool add_special, bool parse_special) const;
    std::string detokenize(std::span<const TokenId> tokens, bool special) const;
    // The bytes of each token, control tokens written out; part of a character may be in one.
    std::vector<std::string> token_pieces(std::span<const TokenId> tokens) const;

    // Accepts every completion of all of them or none; returns their ids in order. Throws QueueFullError,
    // after which they may be submitted again, EngineClosedError, or ParameterError where another engine
    // prepared one, one has been accepted before, or there could never be room for so many.
    std::vector<RequestId> submit(std::span<Prepared *const> prepared);
    void cancel(RequestId id) { engine().cancel(id); }

    EventQueue &events() { return engine().events(); }
    const Metrics &metrics() const { return engine().metrics(); }
    // See Engine; none takes a lock.
    std::vector<SlotView> slots() const { return engine().slots(); }
    std::uint64_t n_rejected() const { return engine().n_rejected(); }
    double silent_s() const { return engine().silent_s(); }
    std::uint64_t n_kv_cells() const { return engine().n_kv_cells(); }

    // Ends every request with an error event, then frees the model. Idempotent.
    void close();

  private:
    struct Loaded {
        std::shared_ptr<const LlamaModel> model;
        std::unique_ptr<const ChatTemplate> chat_template;
    };
    Engine &engine() const {
        home_.require_here();
        return *engine_;
    }
    // Keeps the model alive while the caller works with it, also if close() comes in between.
    std::shared_ptr<const Loaded> loaded() const;
    void require_room(const LlamaModel &model, std::size_t n_bytes) const;

    const HomeProcess home_;
    const std::uint64_t id_; // unique in this process
    ModelInfo info_;
    std::unique_ptr<Engine> engine_; // kept after close(): its events are still to be drained
    std::atomic<bool> closed_{false};
    mutable std::mutex mutex_; // guards loaded_
    std::shared_ptr<const Loaded> loaded_;
};

} // namespace llamad
