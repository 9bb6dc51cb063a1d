// What becomes of jobs whose values there is no memory for.
#include <limits>

#include "check.h"
#include "embed_rig.h"
#include "scarce_memory.h"

using namespace llamad;

TEST("a job that there is no memory for fails, and those of the same delivery go on") {
    FakeEmbeddingModel model;
    model.gate.hold();
    EmbedRig rig(model);
    const RequestId first = rig.submit({run_of(1, 2)});
    CHECK(model.gate.reached());
    const RequestId before = rig.submit({run_of(2, 2)});
    const RequestId large = rig.submit(Inputs(50'000, {1}));
    const RequestId behind = rig.submit({run_of(3, 2), run_of(4, 4)});
    too_much = 50'000 * sizeof(float); // of values; all else is smaller
    model.gate.open();
    rig.check_failed(large, ErrorKind::kGenerationFailed, "no memory for what would come of 50000 inputs");
    too_much = std::numeric_limits<std::size_t>::max();
    for (const RequestId id : {first, before, behind, rig.submit({run_of(9, 9)})}) {
        rig.check_complete(id);
    }
}
