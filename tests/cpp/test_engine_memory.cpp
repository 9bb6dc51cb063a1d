// What becomes of requests that there is no memory for.
#include <limits>
#include <string>

#include "check.h"
#include "engine_rig.h"
#include "scarce_memory.h"

using namespace llamad;

TEST("a request that there is no memory for fails, and those of the same delivery go on") {
    constexpr std::size_t kLarge = 100'000;
    FakeModel model;
    model.gate.hold();
    EngineRig rig(model);
    const RequestId first = rig.submit("A", 3);
    CHECK(model.gate.reached());
    const RequestId before = rig.submit("B", 3);
    auto request = make_request("C", 3);
    request->client = std::string(kLarge, 'c'); // of which the accounts keep a copy; all else is smaller
    const RequestId large = rig.submit(std::move(request));
    const RequestId behind = rig.submit("D", 3);
    too_much = kLarge;
    model.gate.open();
    rig.check_failed(large, ErrorKind::kGenerationFailed, "no memory for a request of 1 tokens");
    too_much = std::numeric_limits<std::size_t>::max();
    rig.check_complete(first, "A", 3);
    rig.check_complete(before, "B", 3);
    rig.check_complete(behind, "D", 3);
    rig.check_complete(rig.submit("E", 3), "E", 3);
    CHECK_EQ(rig.metrics().finished[static_cast<std::size_t>(FinishReason::kError)].load(), 1);
}
