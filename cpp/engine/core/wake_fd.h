// A descriptor by which one thread wakes another, or an event loop.
#pragma once

#include <chrono>

namespace llamad {

// An eventfd. Any thread may call any method.
class WakeFd {
  public:
    WakeFd(); // throws std::system_error where the system has no descriptor left
    WakeFd(const WakeFd &) = delete;
    WakeFd &operator=(const WakeFd &) = delete;
    ~WakeFd();

    // Makes it readable.
    void wake() const;

    // Makes it unreadable.
    void clear() const;

    // Waits until it is readable. False: the time ran out, or a signal came.
    bool wait(std::chrono::milliseconds timeout) const;

    int get() const { return fd_; }

  private:
    int fd_;
};

} // namespace llamad
