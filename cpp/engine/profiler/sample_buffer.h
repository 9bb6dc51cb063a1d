// Where a signal handler leaves what it has seen.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace llamad {

// One look at one thread. Addresses lie within the instruction that runs, or within the call that has not
// returned; the innermost first.
struct Sample {
    static constexpr std::size_t kMaxDepth = 128; // what is called from deeper loses its outermost frames

    std::span<const std::uintptr_t> stack() const { return {addresses.data(), depth}; }

    std::int32_t thread_id = 0;
    std::uint32_t depth = 0;
    std::int32_t evaluator_at = -1;    // index of the innermost frame of the interpreter; -1: there is none
    std::uint64_t evaluator_frame = 0; // where that frame lies on the stack
    std::uint64_t ordinal = 0;         // counts the samples that the interpreter was told of
    std::array<std::uintptr_t, kMaxDepth> addresses{};
};

// Threading: any thread may claim() and publish(), also in a signal handler that interrupts either; they
// neither lock nor allocate. One thread at a time may drain().
class SampleBuffer {
  public:
    explicit SampleBuffer(std::size_t capacity) : capacity_(capacity), cells_(new Cell[capacity]) {}

    // Room for one sample, to be given to publish(). Null: there is none, and one sample is lost.
    Sample *claim() {
        Cell &cell = cells_[next_.fetch_add(1, std::memory_order_relaxed) % capacity_];
        State expected = State::kFree;
        if (!cell.state.compare_exchange_strong(expected, State::kClaimed, std::memory_order_acquire)) {
            n_lost_.fetch_add(1, std::memory_order_relaxed);
            return nullptr;
        }
        cell.sample.depth = 0;
        cell.sample.evaluator_at = -1;
        cell.sample.evaluator_frame = 0;
        return &cell.sample;
    }

    void publish(Sample *sample) {
        Cell &cell = cells_[static_cast<std::size_t>(reinterpret_cast<Cell *>(sample) - cells_.get())];
        cell.state.store(State::kFull, std::memory_order_release);
    }

    // Gives every sample that is complete to `take`, in no particular order.
    template <typename Take> void drain(Take &&take) {
        for (Cell &cell : std::span(cells_.get(), capacity_)) {
            if (cell.state.load(std::memory_order_acquire) == State::kFull) {
                take(static_cast<const Sample &>(cell.sample));
                cell.state.store(State::kFree, std::memory_order_release);
            }
        }
    }

    // Samples lost since the last call.
    std::uint64_t take_lost() { return n_lost_.exchange(0, std::memory_order_relaxed); }

  private:
    enum class State : std::uint8_t { kFree, kClaimed, kFull };

    struct Cell {
        Sample sample; // first: publish() finds the cell by it
        std::atomic<State> state{State::kFree};
    };

    const std::size_t capacity_;
    const std::unique_ptr<Cell[]> cells_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::uint64_t> n_lost_{0};
};

static_assert(std::atomic<std::size_t>::is_always_lock_free, "signal handlers may not lock");

} // namespace llamad
