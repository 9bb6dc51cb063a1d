#include <memory>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/admission.h"

using namespace llamad;

namespace {

using Client = std::shared_ptr<Account>;

std::unique_ptr<Sequence> sequence(RequestId id, std::int32_t priority = 0,
                                   const Client &client = std::make_shared<Account>()) {
    auto request = make_request("abc", 9);
    request->id = id;
    request->priority = priority;
    return std::make_unique<Sequence>(std::move(request), 64, client);
}

std::unique_ptr<Sequence> preempted(RequestId id, std::int32_t priority = 0,
                                    const Client &client = std::make_shared<Account>()) {
    auto made = sequence(id, priority, client);
    made->start(0);
    return made;
}

std::vector<RequestId> order(const Admission &waiting) {
    std::vector<RequestId> ids;
    for (const Sequence *one : waiting.in_order()) {
        ids.push_back(one->id());
    }
    return ids;
}

using Ids = std::vector<RequestId>;

} // namespace

TEST("rule 1: lower priority values first, whatever else speaks for the others") {
    Admission waiting;
    waiting.push(preempted(1, 0));
    waiting.push(sequence(2, -5));
    waiting.push(sequence(3, 7));
    waiting.push(sequence(4, -5));
    CHECK_EQ(order(waiting), Ids{2, 4, 1, 3});
}

TEST("rule 2: who has had a slot comes before who has not, though he has been served more") {
    Admission waiting;
    const auto served = std::make_shared<Account>();
    served->served = 1000;
    waiting.push(sequence(1));
    waiting.push(preempted(2, 0, served));
    waiting.push(sequence(3, -1));
    CHECK_EQ(order(waiting), Ids{3, 2, 1});
}

TEST("rule 3: the client that has been served least, as it stands now") {
    Admission waiting;
    const auto busy = std::make_shared<Account>();
    const auto quiet = std::make_shared<Account>();
    for (const RequestId id : {1U, 2U, 3U}) {
        waiting.push(sequence(id, 0, busy));
    }
    waiting.push(sequence(4, 0, quiet));
    CHECK_EQ(order(waiting), Ids{1, 2, 3, 4}); // nobody has been served yet
    busy->served = 10;
    CHECK_EQ(order(waiting), Ids{4, 1, 2, 3});
    quiet->served = 11;
    CHECK_EQ(order(waiting), Ids{1, 2, 3, 4});
}

TEST("rule 4: of one client, first come, first served") {
    Admission waiting;
    const auto client = std::make_shared<Account>();
    for (const RequestId id : {3U, 1U, 2U}) { // a preemption has brought 1 and 2 back
        waiting.push(sequence(id, 0, client));
    }
    CHECK_EQ(order(waiting), Ids{1, 2, 3});
}

TEST("a sequence can be taken out of the middle, once") {
    Admission waiting;
    CHECK(waiting.empty());
    CHECK(order(waiting).empty());
    for (const RequestId id : {1U, 2U, 3U}) {
        waiting.push(sequence(id));
    }
    const std::unique_ptr<Sequence> taken = waiting.take(2);
    REQUIRE(taken != nullptr);
    CHECK_EQ(taken->id(), 2);
    CHECK(waiting.take(2) == nullptr);
    CHECK(waiting.take(9) == nullptr);
    CHECK_EQ(waiting.size(), 2);
    CHECK_EQ(waiting.all().size(), 2);
    CHECK_EQ(order(waiting), Ids{1, 3});
}
