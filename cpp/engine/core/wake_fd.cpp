#include "core/wake_fd.h"

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace llamad {

WakeFd::WakeFd() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

WakeFd::~WakeFd() { close(fd_); }

void WakeFd::wake() const {
    const std::uint64_t one = 1;
    // It can only fail by overflow, and then the descriptor is readable as it should be.
    [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof(one));
}

void WakeFd::clear() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n_read = read(fd_, &count, sizeof(count));
}

bool WakeFd::wait(std::chrono::milliseconds timeout) const {
    pollfd entry{.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&entry, 1, static_cast<int>(timeout.count())) > 0;
}

} // namespace llamad
