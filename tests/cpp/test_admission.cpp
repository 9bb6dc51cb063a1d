#include "check.h"

#include "core/admission.h"

using namespace llamad;

namespace {

std::unique_ptr<Request> request(RequestId id) {
    auto made = std::make_unique<Request>();
    made->id = id;
    return made;
}

} // namespace

TEST("requests leave in the order they came") {
    Admission waiting;
    CHECK(waiting.empty());
    for (const RequestId id : {3U, 1U, 2U}) {
        waiting.push(request(id));
    }
    CHECK_EQ(waiting.size(), 3);
    for (const RequestId id : {3U, 1U, 2U}) {
        CHECK_EQ(waiting.next().id, id);
        CHECK_EQ(waiting.pop()->id, id);
    }
    CHECK(waiting.empty());
}

TEST("one request can be taken out of the middle") {
    Admission waiting;
    for (const RequestId id : {1U, 2U, 3U}) {
        waiting.push(request(id));
    }
    CHECK_EQ(waiting.remove(2)->id, 2);
    CHECK(waiting.remove(2) == nullptr);
    CHECK(waiting.remove(9) == nullptr);
    CHECK_EQ(waiting.size(), 2);
    CHECK_EQ(waiting.pop()->id, 1);
    CHECK_EQ(waiting.pop()->id, 3);
}
