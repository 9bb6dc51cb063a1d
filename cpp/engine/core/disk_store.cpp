#include "core/disk_store.h"

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include "core/disk_format.h"
#include "core/thread_name.h"

namespace llamad {

namespace fs = std::filesystem;

DiskStore::DiskStore(Options options)
    : options_(std::move(options)), directory_(options_.directory, options_.identity) {
    const auto available = static_cast<std::size_t>(fs::space(directory_.path()).available);
    max_bytes_ = std::min(options_.max_bytes, available / 2);
    if (!directory_.is_ours()) {
        warn("another process uses " + directory_.path().string() + ": KV states are not kept on disk");
        return;
    }
    const std::vector<EntryId> found = directory_.tidy();
    unscanned_.assign(found.begin(), found.end());
    next_id_ = found.empty() ? 1 : found.front() + 1;
    can_write_ = true;
    thread_ = start_thread("llamad-disk", [this] { run(); });
}

DiskStore::~DiskStore() {
    if (thread_.joinable()) {
        {
            const std::lock_guard lock(mutex_);
            closing_ = true;
            reads_.clear();
            unscanned_.clear();
        }
        work_.notify_one();
        thread_.join();
    }
}

void DiskStore::warn(const std::string &what) const {
    if (options_.on_warning) {
        options_.on_warning("prefix cache: " + what);
    }
}

std::size_t DiskStore::file_size(const StoredPrefix &prefix, std::size_t state_size) const {
    return state_file_size(options_.identity, prefix, state_size);
}

bool DiskStore::write(EntryId id, const StoredPrefix &prefix, std::shared_ptr<const KvState> state) {
    {
        const std::lock_guard lock(mutex_);
        const bool full = queued_bytes_ > 0 && queued_bytes_ + state->size > options_.max_queued_bytes;
        if (!can_write_ || (full && !accepts_all_)) {
            return false;
        }
        queued_bytes_ += state->size;
        writes_.push_back({.id = id, .prefix = prefix, .state = std::move(state)});
    }
    work_.notify_one();
    return true;
}

void DiskStore::accept_all() { accepts_all_ = true; }

bool DiskStore::can_write() const {
    const std::lock_guard lock(mutex_);
    return can_write_;
}

void DiskStore::read(EntryId id) {
    std::optional<Write> in_memory; // still
    {
        const std::lock_guard lock(mutex_);
        const auto has_id = [id](const Write &job) { return job.id == id; };
        const auto queued = std::find_if(writes_.begin(), writes_.end(), has_id);
        if (queued != writes_.end()) {
            in_memory = *queued;
        } else if (writing_ && has_id(*writing_)) {
            in_memory = writing_;
        } else {
            reads_.push_back(id);
        }
    }
    if (in_memory) {
        report({.kind = DiskEvent::Kind::kLoaded,
                .id = id,
                .prefix = std::move(in_memory->prefix),
                .state = std::move(in_memory->state)});
    } else {
        work_.notify_one();
    }
}

void DiskStore::erase(EntryId id) {
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(writes_, [&](const Write &job) {
            if (job.id == id) {
                queued_bytes_ -= job.state->size;
            }
            return job.id == id;
        });
        erasures_.push_back(id);
    }
    work_.notify_one();
}

std::vector<DiskEvent> DiskStore::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
}

void DiskStore::report(DiskEvent event) {
    bool was_empty = false;
    {
        const std::lock_guard lock(mutex_);
        was_empty = events_.empty();
        events_.push_back(std::move(event));
    }
    if (was_empty && options_.on_ready) {
        options_.on_ready();
    }
}

bool DiskStore::has_work() const {
    return closing_ || !erasures_.empty() || !reads_.empty() || !writes_.empty() || !unscanned_.empty();
}

void DiskStore::run() {
    const auto pop = [](auto &queue) {
        auto first = std::move(queue.front());
        queue.pop_front();
        return first;
    };
    std::unique_lock lock(mutex_);
    for (;;) {
        work_.wait(lock, [this] { return has_work(); });
        // Erasures first, for they make room; then what a request waits for.
        if (!erasures_.empty()) {
            const EntryId id = pop(erasures_);
            lock.unlock();
            directory_.remove(id);
        } else if (!reads_.empty()) {
            const EntryId id = pop(reads_);
            lock.unlock();
            load(id);
        } else if (!writes_.empty()) {
            const Write job = pop(writes_);
            writing_ = job;
            lock.unlock();
            save(job);
            lock.lock();
            queued_bytes_ -= job.state->size;
            writing_.reset();
            lock.unlock();
        } else if (!unscanned_.empty()) {
            const EntryId id = pop(unscanned_);
            lock.unlock();
            scan(id);
        } else {
            return;
        }
        lock.lock();
    }
}

void DiskStore::scan(EntryId id) {
    try {
        StateFile file = read_head(directory_.path_of(id), options_.identity);
        report({.kind = DiskEvent::Kind::kFound,
                .id = id,
                .prefix = std::move(file.prefix),
                .state_size = file.state_size,
                .file_size = file.file_size});
    } catch (const std::exception &error) {
        directory_.remove(id);
        if (n_unreadable_++ == 0) { // one line, not thousands after a change of the format
            warn("removed " + directory_.path_of(id).string() + ": " + error.what() +
                 "; more such files go in silence");
        }
    }
}

void DiskStore::load(EntryId id) {
    try {
        LoadedState file = read_state(directory_.path_of(id), options_.identity);
        report({.kind = DiskEvent::Kind::kLoaded,
                .id = id,
                .prefix = std::move(file.prefix),
                .state = std::move(file.state)});
    } catch (const std::exception &error) {
        warn("removed " + directory_.path_of(id).string() + ": " + error.what());
        directory_.remove(id);
        report({.kind = DiskEvent::Kind::kGone, .id = id});
    }
}

void DiskStore::save(const Write &job) {
    const fs::path temporary = directory_.temporary_path_of(job.id);
    try {
        write_state(directory_.path_of(job.id), temporary, options_.identity, job.prefix, *job.state);
    } catch (const std::exception &error) {
        std::error_code ignored;
        fs::remove(temporary, ignored);
        stop_writing(job, error.what());
    }
}

void DiskStore::stop_writing(const Write &failed, const std::string &reason) {
    warn("no more KV states are written to " + directory_.path().string() + ": " + reason);
    std::deque<Write> given_up;
    {
        const std::lock_guard lock(mutex_);
        can_write_ = false;
        given_up = std::exchange(writes_, {});
        for (const Write &job : given_up) {
            queued_bytes_ -= job.state->size;
        }
    }
    report({.kind = DiskEvent::Kind::kGone, .id = failed.id});
    for (const Write &job : given_up) {
        report({.kind = DiskEvent::Kind::kGone, .id = job.id});
    }
}

} // namespace llamad
