#include <string>

#include "check.h"

#include "core/fair_share.h"

using namespace llamad;

TEST("requests of one client share an account, those of others do not") {
    FairShare shares;
    const auto first = shares.account("a");
    const auto second = shares.account("a");
    const auto other = shares.account("b");
    CHECK(first == second);
    CHECK(first != other);
    first->served += 5;
    CHECK_EQ(second->served, 5.0);
    CHECK_EQ(other->served, 0.0);
}

TEST("who comes new starts level with the one that has been served least") {
    FairShare shares;
    const auto much = shares.account("a");
    const auto little = shares.account("b");
    much->served = 100;
    little->served = 40;
    CHECK_EQ(shares.account("c")->served, 40.0);
    little->served = 200;
    CHECK_EQ(shares.account("d")->served, 100.0);
}

TEST("an account is gone with the last request of its client: having been away earns nothing") {
    FairShare shares;
    auto gone = shares.account("a");
    const auto stays = shares.account("b");
    gone->served = 3;
    stays->served = 70;
    gone.reset();
    const auto back = shares.account("a");
    CHECK_EQ(back->served, 70.0);
    CHECK_EQ(shares.n_accounts(), 2);
}

TEST("nor does it cost anything, and nobody is remembered for ever") {
    FairShare shares;
    for (int i = 0; i < 100; ++i) {
        shares.account("client " + std::to_string(i))->served = 1000;
    }
    CHECK_EQ(shares.account("a")->served, 0.0); // alone
    CHECK_EQ(shares.n_accounts(), 1);
}
