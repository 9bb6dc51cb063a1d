#include "llama/llama_log.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

#include "llama.h"
#include "log.h"

namespace llamad {

namespace {

constexpr std::size_t kMostLines = 1000;

struct LogBuffer {
    std::mutex mutex;
    std::deque<LogLine> lines;
    std::atomic<int> level{GGML_LOG_LEVEL_WARN};
};

LogBuffer &buffer() {
    // Never destroyed: llama.cpp may still log while the process exits.
    static auto *const instance = new LogBuffer;
    return *instance;
}

thread_local std::string *thread_errors = nullptr;
thread_local std::vector<LogLine> *thread_held = nullptr;
thread_local LogListener::OnLine *thread_listener = nullptr;
thread_local int thread_level = GGML_LOG_LEVEL_INFO;

void append(LogLine line) {
    LogBuffer &log = buffer();
    if (line.level < log.level.load(std::memory_order_relaxed)) {
        return;
    }
    const std::lock_guard lock(log.mutex);
    if (log.lines.size() == kMostLines) {
        log.lines.pop_front();
    }
    log.lines.push_back(std::move(line));
}

void on_log(ggml_log_level level, const char *text, void * /*user_data*/) {
    // A continued line has the level of its beginning.
    if (level != GGML_LOG_LEVEL_CONT) {
        thread_level = level;
    }
    std::string line(text);
    line.erase(std::find_if(line.rbegin(), line.rend(), [](char c) { return c != '\n'; }).base(), line.end());
    if (line.empty() || line == ".") { // a dot is llama.cpp's progress bar
        return;
    }
    if (thread_listener != nullptr) {
        (*thread_listener)(line);
    }
    if (thread_level == GGML_LOG_LEVEL_ERROR && thread_errors != nullptr) {
        thread_errors->append(thread_errors->empty() ? "" : "; ").append(line);
    }
    if (thread_held != nullptr) {
        thread_held->push_back({.level = thread_level, .text = std::move(line)});
    } else {
        append({.level = thread_level, .text = std::move(line)});
    }
}

} // namespace

void init_llama_backend() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(on_log, nullptr);
        // `common` logs through a thread of its own to stderr: leave it nothing to say.
        common_log_set_verbosity_thold(-1);
        llama_backend_init();
    });
}

void set_log_level(int level) { buffer().level.store(level, std::memory_order_relaxed); }

void log_warning(const std::string &line) { append({.level = GGML_LOG_LEVEL_WARN, .text = line}); }

std::vector<LogLine> take_log_lines() {
    LogBuffer &log = buffer();
    std::deque<LogLine> lines;
    {
        const std::lock_guard lock(log.mutex);
        lines.swap(log.lines);
    }
    return {std::make_move_iterator(lines.begin()), std::make_move_iterator(lines.end())};
}

HeldLog::HeldLog() : outer_(thread_held) { thread_held = &lines_; }

HeldLog::~HeldLog() { thread_held = outer_; }

void HeldLog::release() {
    for (LogLine &line : lines_) {
        if (outer_ != nullptr) {
            outer_->push_back(std::move(line));
        } else {
            append(std::move(line));
        }
    }
    lines_.clear();
}

LogListener::LogListener(OnLine on_line) : on_line_(std::move(on_line)), outer_(thread_listener) {
    thread_listener = &on_line_;
}

LogListener::~LogListener() { thread_listener = outer_; }

LogErrors::LogErrors() : outer_(thread_errors) { thread_errors = &joined_; }

LogErrors::~LogErrors() { thread_errors = outer_; }

std::string LogErrors::text(const std::string &otherwise) const {
    return joined_.empty() ? otherwise : joined_;
}

} // namespace llamad
