// The host store and its disk, used at random and closed again and again.
#include <random>

#include "store_rig.h"

#include "core/host_store.h"

using namespace llamad;

namespace {

class Desk {
  public:
    explicit Desk(bool can_trim) : can_trim_(can_trim), random_(can_trim ? 3 : 4) { open(); }

    void open() {
        store_.reset(); // one at a time
        store_ = std::make_unique<HostStore>(
            HostStore::Limits{.max_bytes = 5000, .can_trim = can_trim_},
            std::make_unique<DiskStore>(
                DiskStore::Options{.directory = directory_.path(), .identity = "model", .max_bytes = 13000}));
    }

    void step() {
        const StoredPrefix query = random_prefix();
        const auto match = store_->match(query.tokens, query.salt, 1000);
        const auto dice = random_() % 100;
        if (dice < 40) {
            const std::string text(query.tokens.begin(), query.tokens.end());
            store_->put(query, state_of(text, 1000, query.salt));
        } else if (dice < 50) {
            store_->check_in();
        } else if (dice < 51) {
            open();
        } else if (match && dice < 53) {
            store_->drop(match->id);
        } else if (match && match->in_memory) {
            use(query, *match);
        } else if (match) {
            store_->fetch(match->id);
        }
        store_->check_integrity();
    }

    // Opens the store again and waits until all files are known, and those too many gone.
    void settle() {
        open();
        CHECK(!files_in(directory_.path()).empty());
        CHECK(eventually([&] {
            store_->check_in();
            store_->check_integrity();
            return files_in(directory_.path()).size() == store_->n_entries();
        }));
        CHECK_EQ(store_->bytes(), 0);
    }

    int n_used() const { return n_used_; }

  private:
    StoredPrefix random_prefix() {
        std::string text(random_() % 2 * 10, 's');
        for (std::size_t i = 0, n = 1 + random_() % 5; i < n; ++i) {
            text += static_cast<char>('a' + random_() % 3);
        }
        return prefix_of(text, random_() % 4 == 0 ? "salt" : "");
    }

    // The state is of tokens that begin as the match says, under the same salt.
    void use(const StoredPrefix &query, const HostStore::Match &match) {
        const std::string label = label_of(store_->state(match.id));
        const auto shared = static_cast<std::ptrdiff_t>(match.n_shared);
        const std::string begin =
            query.salt + "/" + std::string(query.tokens.begin(), query.tokens.begin() + shared);
        CHECK(can_trim_ ? label.starts_with(begin) : label == begin);
        ++n_used_;
    }

    bool can_trim_;
    std::mt19937 random_;
    TemporaryDirectory directory_;
    std::unique_ptr<HostStore> store_;
    int n_used_ = 0;
};

void run(bool can_trim) {
    Desk desk(can_trim);
    for (int step = 0; step < 2000; ++step) {
        desk.step();
    }
    CHECK(desk.n_used() > 100); // else the test would have tested little
    desk.settle();
}

} // namespace

TEST("whatever matches holds what it says, with trimming") { run(true); }
TEST("whatever matches holds what it says, without trimming") { run(false); }
