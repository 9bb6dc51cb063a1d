#include "check.h"
#include "engine_rig.h"
#include "rests.h"

using namespace llamad;

TEST("an engine that has nothing to do any more lets its runner rest, once") {
    FakeModel model;
    EngineRig rig(model);
    rig.check_complete(rig.submit("A", 3), "A", 3);
    check_rests(model.rests, 1);
    wait_a_while();
    CHECK_EQ(model.rests.load(), 1);
    rig.check_complete(rig.submit("B", 3), "B", 3);
    check_rests(model.rests, 2);
}

TEST("a runner that has not computed has nothing to rest from") {
    FakeModel model;
    EngineRig rig(model);
    rig.engine().cancel(7);
    wait_a_while();
    CHECK_EQ(model.rests.load(), 0);
}
