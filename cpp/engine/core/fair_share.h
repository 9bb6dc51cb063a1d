// How much each client has been served: the order of the queue depends on it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

namespace llamad {

// Tokens that were computed for one client. Shared by its requests; gone with the last of them.
struct Account {
    double served = 0;
};

// Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024): the client
// with the least tokens comes next, so that somebody's 64 requests share the slots evenly with somebody
// else's one. Belongs to the engine thread.
class FairShare {
  public:
    // The client's account. One that has just come starts level with the one that has been served least:
    // having been away earns nothing.
    std::shared_ptr<Account> account(const std::string &client);

    std::size_t n_accounts() const { return accounts_.size(); }

  private:
    std::unordered_map<std::string, std::weak_ptr<Account>> accounts_;
};

} // namespace llamad
