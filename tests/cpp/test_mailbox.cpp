#include <future>
#include <thread>
#include <vector>

#include "check.h"
#include "engine_rig.h"

#include "core/errors.h"
#include "core/mailbox.h"

using namespace llamad;

namespace {

RequestId submit(Mailbox &mailbox) {
    auto request = make_request("a", 1);
    return mailbox.submit(request);
}

} // namespace

TEST("requests get ids from 1 and the time, and arrive in order") {
    Mailbox mailbox(8);
    const TimePoint before = Clock::now();
    for (const RequestId id : {1U, 2U, 3U}) {
        CHECK_EQ(submit(mailbox), id);
    }
    const Mail mail = mailbox.take(/*wait=*/true);
    REQUIRE(mail.requests.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK_EQ(mail.requests[i]->id, i + 1);
        CHECK(mail.requests[i]->submitted_at >= before && mail.requests[i]->submitted_at <= Clock::now());
    }
    CHECK(!mail.closed);
    CHECK(mailbox.take(/*wait=*/false).requests.empty());
}

TEST("a request counts until it is released, not until it is taken") {
    Mailbox mailbox(2);
    submit(mailbox);
    submit(mailbox);
    CHECK_EQ(mailbox.take(false).requests.size(), 2);
    CHECK_EQ(mailbox.in_flight(), 2);
    CHECK_THROWS(QueueFullError, submit(mailbox));
    mailbox.release();
    CHECK_EQ(submit(mailbox), 3); // a refused request takes no id
    CHECK_THROWS(QueueFullError, submit(mailbox));
}

TEST("a refused request is untouched") {
    Mailbox mailbox(0);
    auto request = make_request("abc", 1);
    CHECK_THROWS(QueueFullError, mailbox.submit(request));
    mailbox.close();
    CHECK_THROWS(EngineClosedError, mailbox.submit(request));
    REQUIRE(request != nullptr);
    CHECK_EQ(request->id, 0);
    CHECK_EQ(request->prompt, tokens_of("abc"));
    CHECK(mailbox.take(false).requests.empty());
    CHECK_EQ(mailbox.in_flight(), 0);
}

TEST("cancellations keep their order, known or not, twice or once") {
    Mailbox mailbox(2);
    for (const RequestId id : {7U, 1U, 7U}) {
        mailbox.cancel(id);
    }
    CHECK_EQ(mailbox.take(/*wait=*/true).cancellations, std::vector<RequestId>{7, 1, 7});
    CHECK(mailbox.take(false).cancellations.empty());
}

TEST("closing keeps what has arrived and stays closed") {
    Mailbox mailbox(2);
    submit(mailbox);
    mailbox.close();
    mailbox.close();
    const Mail mail = mailbox.take(/*wait=*/true);
    CHECK(mail.closed);
    CHECK_EQ(mail.requests.size(), 1);
    CHECK(mailbox.take(/*wait=*/true).closed);
}

TEST("waiting ends with a request, a cancellation or the close") {
    for (int what = 0; what < 3; ++what) {
        Mailbox mailbox(1);
        std::future<Mail> taken = std::async(std::launch::async, [&] { return mailbox.take(/*wait=*/true); });
        if (what == 0) {
            submit(mailbox);
        } else if (what == 1) {
            mailbox.cancel(1);
        } else {
            mailbox.close();
        }
        const Mail mail = taken.get();
        CHECK_EQ(mail.requests.size(), what == 0 ? 1 : 0);
        CHECK_EQ(mail.cancellations.size(), what == 1 ? 1 : 0);
        CHECK_EQ(mail.closed, what == 2);
    }
}

TEST("threads that submit together get different ids, in order of arrival, within the bound") {
    constexpr std::size_t kCapacity = 300;
    Mailbox mailbox(kCapacity);
    std::atomic<int> n_refused{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 100; ++n) {
                try {
                    submit(mailbox);
                } catch (const QueueFullError &) {
                    ++n_refused;
                }
            }
        });
    }
    std::vector<RequestId> ids;
    while (ids.size() < kCapacity) {
        for (const auto &request : mailbox.take(/*wait=*/true).requests) {
            ids.push_back(request->id);
        }
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK_EQ(n_refused.load(), 100);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        CHECK_EQ(ids[i], i + 1);
    }
}
