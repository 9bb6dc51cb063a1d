#include "core/disk_store.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/disk_format.h"
#include "core/thread_name.h"

namespace llamad {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".kv";
constexpr std::string_view kTemporarySuffix = ".kv.part";
constexpr std::string_view kLockName = "lock";
constexpr EntryId kLargestId = EntryId{1} << 62; // no counter gets there

std::string hex(std::uint64_t value) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
    return text.data();
}

std::string file_name(EntryId id) { return hex(id).append(kSuffix); }

// 0: not the name of a state.
EntryId id_of(const std::string &name) {
    EntryId id = 0;
    std::from_chars(name.data(), name.data() + name.size(), id, 16);
    return id < kLargestId && name == file_name(id) ? id : 0;
}

} // namespace

DiskStore::DiskStore(Options options) : options_(std::move(options)) {
    open_directory();
    lock_directory();
    if (!lock_) {
        return;
    }
    list_files();
    can_write_ = true;
    thread_ = std::thread([this] { run(); });
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

void DiskStore::open_directory() {
    if (fs::create_directories(options_.directory)) {
        fs::permissions(options_.directory, fs::perms::owner_all);
    }
    directory_ = options_.directory / hex(hash64(std::as_bytes(std::span(options_.identity))));
    fs::create_directory(directory_);
    fs::permissions(directory_, fs::perms::owner_all);
    const auto available = static_cast<std::size_t>(fs::space(directory_).available);
    max_bytes_ = std::min(options_.max_bytes, available / 2);
}

void DiskStore::lock_directory() {
    FileDescriptor lock(open((directory_ / kLockName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) {
        throw std::system_error(errno, std::generic_category(), directory_.string());
    }
    // Until the descriptor is closed, by us or by the end of the process.
    if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
        lock_ = std::move(lock);
        return;
    }
    warn("another process uses " + directory_.string() + ": KV states are not kept on disk");
}

void DiskStore::list_files() {
    for (const fs::directory_entry &file : fs::directory_iterator(directory_)) {
        const std::string name = file.path().filename().string();
        const EntryId id = id_of(name);
        std::error_code ignored;
        if (id > 0) {
            unscanned_.push_back(id);
            next_id_ = std::max(next_id_, id + 1);
        } else if (name.ends_with(kSuffix) || name.ends_with(kTemporarySuffix)) {
            fs::remove(file.path(), ignored);
        }
    }
    std::sort(unscanned_.begin(), unscanned_.end(), std::greater<>()); // the newest first
}

fs::path DiskStore::path_of(EntryId id) const { return directory_ / file_name(id); }

void DiskStore::remove_file(EntryId id) const {
    std::error_code ignored; // what cannot be removed is found at the next start
    fs::remove(path_of(id), ignored);
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
    name_this_thread("llamad-disk");
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
            remove_file(id);
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
        StateFile file = read_head(path_of(id), options_.identity);
        report({.kind = DiskEvent::Kind::kFound,
                .id = id,
                .prefix = std::move(file.prefix),
                .state_size = file.state_size,
                .file_size = file.file_size});
    } catch (const std::exception &error) {
        remove_file(id);
        if (n_unreadable_++ == 0) { // one line, not thousands after a change of the format
            warn("removed " + path_of(id).string() + ": " + error.what() + "; more such files go in silence");
        }
    }
}

void DiskStore::load(EntryId id) {
    try {
        LoadedState file = read_state(path_of(id), options_.identity);
        report({.kind = DiskEvent::Kind::kLoaded,
                .id = id,
                .prefix = std::move(file.prefix),
                .state = std::move(file.state)});
    } catch (const std::exception &error) {
        warn("removed " + path_of(id).string() + ": " + error.what());
        remove_file(id);
        report({.kind = DiskEvent::Kind::kGone, .id = id});
    }
}

void DiskStore::save(const Write &job) {
    const fs::path temporary = directory_ / hex(job.id).append(kTemporarySuffix);
    try {
        write_state(path_of(job.id), temporary, options_.identity, job.prefix, *job.state);
    } catch (const std::exception &error) {
        std::error_code ignored;
        fs::remove(temporary, ignored);
        stop_writing(job, error.what());
    }
}

void DiskStore::stop_writing(const Write &failed, const std::string &reason) {
    warn("no more KV states are written to " + directory_.string() + ": " + reason);
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
