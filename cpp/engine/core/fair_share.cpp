#include "core/fair_share.h"

#include <algorithm>
#include <limits>

namespace llamad {

std::shared_ptr<Account> FairShare::account(const std::string &client) {
    const auto known = accounts_.find(client);
    if (known != accounts_.end()) {
        if (std::shared_ptr<Account> account = known->second.lock()) {
            return account;
        }
    }
    double least = std::numeric_limits<double>::infinity();
    std::erase_if(accounts_, [&least](const auto &entry) {
        const std::shared_ptr<Account> account = entry.second.lock();
        least = account == nullptr ? least : std::min(least, account->served);
        return account == nullptr;
    });
    auto account = std::make_shared<Account>();
    account->served = accounts_.empty() ? 0 : least;
    accounts_[client] = account;
    return account;
}

} // namespace llamad
