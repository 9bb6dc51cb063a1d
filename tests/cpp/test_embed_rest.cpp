#include "check.h"
#include "embed_rig.h"
#include "rests.h"

using namespace llamad;

TEST("an embedding engine that has nothing to do any more lets its runner rest, once") {
    FakeEmbeddingModel model;
    EmbedRig rig(model);
    rig.check_complete(rig.submit({run_of(5, 3)}));
    check_rests(model.rests, 1);
    wait_a_while();
    CHECK_EQ(model.rests.load(), 1);
    rig.check_complete(rig.submit({run_of(9, 40), run_of(7, 2)}));
    check_rests(model.rests, 2);
}

TEST("an embedding runner that has not computed has nothing to rest from") {
    FakeEmbeddingModel model;
    EmbedRig rig(model);
    rig.engine().cancel(7);
    wait_a_while();
    CHECK_EQ(model.rests.load(), 0);
}
