#include <cstdint>

#include "check.h"
#include "random_machine.h"

using namespace llamad;

TEST("whatever happens, slots and store hold what they say, and every answer is right") {
    unsigned seed = 0;
    std::uint64_t n_copied = 0;
    std::uint64_t n_restored = 0;
    std::uint64_t n_preempted = 0;
    for (const Memory memory : {Memory::kFull, Memory::kSlidingWindow, Memory::kRecurrent}) {
        for (const bool unified : {false, true}) {
            for (const std::size_t n_stored : {0U, 150U, 3000U}) {
                for (const bool failures : {false, true}) {
                    Machine machine(
                        {.memory = memory, .unified = unified, .n_stored = n_stored, .failures = failures},
                        ++seed);
                    for (int step = 0; step < 250; ++step) {
                        machine.random_step();
                    }
                    machine.drain();
                    CHECK(machine.n_complete() > 20);
                    CHECK_EQ(machine.n_failed() > 0, failures);
                    n_copied += machine.metrics().copied_tokens;
                    n_restored += machine.metrics().restored_tokens;
                    n_preempted += machine.metrics().preemptions;
                }
            }
        }
    }
    CHECK(n_copied > 1000 && n_restored > 1000 && n_preempted > 20); // all of it was tried
}

TEST("the same where idle slots add rows that stand for nothing") {
    unsigned seed = 1000;
    std::size_t n_padded = 0;
    for (const std::size_t n_stored : {0U, 150U, 3000U}) {
        for (const bool failures : {false, true}) {
            Machine machine({.n_stored = n_stored, .padding = true, .failures = failures}, ++seed);
            for (int step = 0; step < 500; ++step) {
                machine.random_step();
            }
            machine.drain();
            CHECK(machine.n_complete() > 40);
            CHECK_EQ(machine.n_failed() > 0, failures);
            n_padded += machine.n_padded();
        }
    }
    CHECK(n_padded > 100);
}
