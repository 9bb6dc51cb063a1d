// KV states in files, which outlive the process.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/kv_state.h"
#include "core/state_directory.h"
#include "core/stored_prefix.h"

namespace llamad {

// What the disk's thread has to report.
struct DiskEvent {
    enum class Kind : std::uint8_t {
        kFound,  // a file of an earlier process: `prefix`, `state_size`, `file_size`
        kLoaded, // read() has come to an end: `prefix`, `state`
        kGone,   // the file was missing or damaged, or could not be written; it is not there any more
    };
    Kind kind = Kind::kGone;
    EntryId id = 0;
    StoredPrefix prefix = {};
    std::size_t state_size = 0; // bytes
    std::size_t file_size = 0;  // bytes
    std::shared_ptr<const KvState> state = nullptr;
};

// The second tier of the host store. Only moves bytes: what is kept and what goes is decided by whoever
// holds the index, which is rebuilt from the files' headers after a restart.
//
// Each identity has a subdirectory of its own, so that several models can share one directory; whatever
// there bears the name of a state and is none is removed. The files hold what users sent, as tokens:
// nobody else may read them.
//
// Threading: every method belongs to the engine thread and none waits for the disk; files are read and
// written by a thread of the store's own.
class DiskStore {
  public:
    struct Options {
        std::filesystem::path directory; // created if it is missing
        // Of model, context parameters and cache types: what tells usable states from others.
        std::string identity;
        // Of all files of this identity, but never more than half of what the disk has left; whoever holds
        // the index keeps to it.
        std::size_t max_bytes = 0;
        // Of states that wait to be written; one is taken however large it is.
        std::size_t max_queued_bytes = std::size_t{256} << 20;
        // take() has something to give; called by read() or the disk's thread.
        std::function<void()> on_ready = nullptr;
        // One line for the log; called by the constructor or the disk's thread.
        std::function<void(const std::string &)> on_warning = nullptr;
    };

    // Removes what a killed process left half written, and begins to read the headers of the rest.
    // Where another process is at work on the same identity, warns and stores nothing.
    // Throws std::system_error where the directory cannot be made or written to.
    explicit DiskStore(Options options);
    DiskStore(const DiskStore &) = delete;
    DiskStore &operator=(const DiskStore &) = delete;
    // Waits until what is queued has been written.
    ~DiskStore();

    std::size_t max_bytes() const { return max_bytes_; }

    // Above the ids of all files that were there at the start.
    EntryId next_id() const { return next_id_; }

    // Size of the file that such a state makes, in bytes.
    std::size_t file_size(const StoredPrefix &prefix, std::size_t state_size) const;

    // Queues a state, under an id that no file has had. False: the queue is full or writing is off (after an
    // I/O error or on a full disk), and nothing will be written.
    bool write(EntryId id, const StoredPrefix &prefix, std::shared_ptr<const KvState> state);

    // From now on no queue is too full: the process is about to end, and the destructor waits.
    void accept_all();

    bool can_write() const;

    // Asks for a state that was found or queued; answered by kLoaded or kGone.
    void read(EntryId id);

    // Removes a file, or its place in the queue. Not answered.
    void erase(EntryId id);

    // What has happened since the last call.
    std::vector<DiskEvent> take();

  private:
    struct Write {
        EntryId id = 0;
        StoredPrefix prefix;
        std::shared_ptr<const KvState> state;
    };

    void warn(const std::string &what) const;
    void report(DiskEvent event);

    // The disk's thread.
    void run();
    bool has_work() const;
    void scan(EntryId id);
    void load(EntryId id);
    void save(const Write &job);
    void stop_writing(const Write &failed, const std::string &reason);

    const Options options_;
    std::size_t max_bytes_ = 0; // of the options, or less where the disk has less
    StateDirectory directory_;
    EntryId next_id_ = 1;

    bool accepts_all_ = false; // engine thread only
    mutable std::mutex mutex_; // guards what follows
    std::condition_variable work_;
    bool closing_ = false;
    bool can_write_ = false;
    std::size_t queued_bytes_ = 0;
    std::deque<EntryId> erasures_;
    std::deque<EntryId> reads_;
    std::deque<Write> writes_;
    std::optional<Write> writing_; // what the thread is at
    std::deque<EntryId> unscanned_;
    std::vector<DiskEvent> events_;

    std::size_t n_unreadable_ = 0; // the disk's thread's own: files that scan() has removed

    std::thread thread_; // last: everything it uses is there when it starts
};

} // namespace llamad
