// The process that an engine was made in.
#pragma once

#include <string>

#include <unistd.h>

#include "core/errors.h"

namespace llamad {

// A process that is forked off has a copy of an engine's memory but none of its threads, and a lock that one
// of them held at that moment is held for ever there. So ask before any lock is taken or thread waited for.
class HomeProcess {
  public:
    bool is_here() const { return getpid() == pid_; }

    // Throws EngineClosedError in any other process.
    void require_here() const {
        if (!is_here()) {
            throw EngineClosedError("the engine was made in another process (pid " + std::to_string(pid_) +
                                    "), where its threads are; a forked process has to load the model for "
                                    "itself, or be started afresh (\"spawn\")");
        }
    }

  private:
    const pid_t pid_ = getpid();
};

} // namespace llamad
