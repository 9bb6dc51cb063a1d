#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <span>
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
    return mailbox.submit(std::span(&request, 1));
}

Mail wait_for_mail(Mailbox &mailbox) { return mailbox.take(kPatience); }
Mail look(Mailbox &mailbox) { return mailbox.take(std::chrono::milliseconds::zero()); }

} // namespace

TEST("requests get ids from 1 and the time, and arrive in order") {
    Mailbox mailbox(8);
    const TimePoint before = Clock::now();
    for (const RequestId id : {1U, 2U, 3U}) {
        CHECK_EQ(submit(mailbox), id);
    }
    const Mail mail = wait_for_mail(mailbox);
    REQUIRE(mail.requests.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK_EQ(mail.requests[i]->id, i + 1);
        CHECK(mail.requests[i]->submitted_at >= before && mail.requests[i]->submitted_at <= Clock::now());
    }
    CHECK(!mail.closed);
    CHECK(look(mailbox).requests.empty());
}

TEST("a request counts until it is released, not until it is taken") {
    Mailbox mailbox(2);
    submit(mailbox);
    submit(mailbox);
    CHECK_EQ(look(mailbox).requests.size(), 2);
    CHECK_EQ(mailbox.in_flight(), 2);
    CHECK_THROWS(QueueFullError, submit(mailbox));
    mailbox.release();
    CHECK_EQ(submit(mailbox), 3); // a refused request takes no id
    CHECK_THROWS(QueueFullError, submit(mailbox));
}

TEST("more than there can ever be room for is a wrong parameter, not a full queue") {
    Mailbox mailbox(2);
    std::vector<std::unique_ptr<Request>> requests;
    for (int i = 0; i < 3; ++i) {
        requests.push_back(make_request("abc", 1));
    }
    CHECK_THROWS(ParameterError, mailbox.submit(requests));
    CHECK(requests.front() != nullptr);
}

TEST("a refused request is untouched") {
    Mailbox mailbox(1);
    submit(mailbox);
    look(mailbox);
    auto request = make_request("abc", 1);
    CHECK_THROWS(QueueFullError, mailbox.submit(std::span(&request, 1)));
    mailbox.close();
    CHECK_THROWS(EngineClosedError, mailbox.submit(std::span(&request, 1)));
    REQUIRE(request != nullptr);
    CHECK_EQ(request->id, 0);
    CHECK_EQ(request->prompt, tokens_of("abc"));
    CHECK(look(mailbox).requests.empty());
    CHECK_EQ(mailbox.in_flight(), 1);
}

TEST("cancellations keep their order, known or not, twice or once") {
    Mailbox mailbox(2);
    for (const RequestId id : {7U, 1U, 7U}) {
        mailbox.cancel(id);
    }
    CHECK_EQ(wait_for_mail(mailbox).cancellations, std::vector<RequestId>{7, 1, 7});
    CHECK(look(mailbox).cancellations.empty());
}

TEST("closing keeps what has arrived and stays closed") {
    Mailbox mailbox(2);
    submit(mailbox);
    mailbox.close();
    mailbox.close();
    const Mail mail = wait_for_mail(mailbox);
    CHECK(mail.closed);
    CHECK_EQ(mail.requests.size(), 1);
    CHECK(wait_for_mail(mailbox).closed);
}

TEST("requests that are submitted together are accepted together or not at all") {
    Mailbox mailbox(4);
    submit(mailbox);
    const auto several = [](std::size_t n) {
        std::vector<std::unique_ptr<Request>> requests;
        for (std::size_t i = 0; i < n; ++i) {
            requests.push_back(make_request("a", 1));
        }
        return requests;
    };
    auto too_many = several(4);
    CHECK_THROWS(QueueFullError, mailbox.submit(too_many));
    CHECK(std::ranges::none_of(too_many, [](const auto &request) { return request == nullptr; }));
    CHECK_EQ(mailbox.in_flight(), 1);
    auto three = several(3);
    CHECK_EQ(mailbox.submit(three), 2);
    const Mail mail = look(mailbox);
    REQUIRE(mail.requests.size() == 4);
    CHECK_EQ(mail.requests[3]->id, 4);
    CHECK(mail.requests[1]->submitted_at == mail.requests[3]->submitted_at);
}

TEST("patience runs out, and a poke that brings nothing ends it early, once") {
    Mailbox mailbox(1);
    const std::chrono::milliseconds brief{30};
    const auto waits_out = [&] {
        const TimePoint begin = Clock::now();
        const Mail mail = mailbox.take(brief);
        CHECK(mail.requests.empty() && mail.cancellations.empty() && !mail.closed);
        return Clock::now() - begin >= brief;
    };
    CHECK(waits_out());
    mailbox.poke();
    mailbox.poke();
    CHECK(wait_for_mail(mailbox).requests.empty());
    CHECK(waits_out());
}

TEST("waiting ends with a request, a cancellation, the close or a poke") {
    for (int what = 0; what < 4; ++what) {
        Mailbox mailbox(1);
        std::future<Mail> taken = std::async(std::launch::async, [&] { return wait_for_mail(mailbox); });
        if (what == 0) {
            submit(mailbox);
        } else if (what == 1) {
            mailbox.cancel(1);
        } else if (what == 2) {
            mailbox.close();
        } else {
            mailbox.poke();
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
        for (const auto &request : wait_for_mail(mailbox).requests) {
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
