// llama.cpp's log, kept out of stderr: lines wait in a bounded buffer until Python asks for them, so
// that no engine thread ever needs the GIL to log.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace llamad {

struct LogLine {
    int level; // ggml_log_level: 1 debug, 2 info, 3 warning, 4 error
    std::string text;
};

// Starts llama.cpp's backends and takes over its log. Idempotent; called by everything here that
// needs it. Any thread.
void init_llama_backend();

// Lines below this level are dropped where they arise. Any thread.
void set_log_level(int level);

// Adds a line of our own. Any thread.
void log_warning(const std::string &line);

// The lines since the last call, oldest first; of a flood, the newest thousand. Any thread.
std::vector<LogLine> take_log_lines();

// Holds back what llama.cpp logs on this thread while the object lives: a full KV cache, say, is an error to
// llama.cpp and everyday life to the engine.
class HeldLog {
  public:
    HeldLog();
    HeldLog(const HeldLog &) = delete;
    HeldLog &operator=(const HeldLog &) = delete;
    ~HeldLog();

    // Lets the lines go to the log after all, or to the HeldLog that was there before this.
    void release();

  private:
    std::vector<LogLine> lines_;
    std::vector<LogLine> *outer_;
};

// Sees every line that llama.cpp logs on this thread while the object lives, of whatever level; what it
// throws goes through llama.cpp.
class LogListener {
  public:
    using OnLine = std::function<void(const std::string &)>;

    explicit LogListener(OnLine on_line);
    LogListener(const LogListener &) = delete;
    LogListener &operator=(const LogListener &) = delete;
    ~LogListener();

  private:
    OnLine on_line_;
    OnLine *outer_;
};

// Collects the error lines that llama.cpp logs on this thread while the object lives: often they are
// all it says about why it returned null.
class LogErrors {
  public:
    LogErrors();
    LogErrors(const LogErrors &) = delete;
    LogErrors &operator=(const LogErrors &) = delete;
    ~LogErrors();

    // The lines joined by "; ", or `otherwise` where there are none.
    std::string text(const std::string &otherwise) const;

  private:
    std::string joined_;
    std::string *outer_;
};

} // namespace llamad
