// Threads with names, for debuggers, `top -H` and profiles.
#pragma once

#include <thread>
#include <utility>

#include <pthread.h>

namespace llamad {

// A thread that runs `body` and has its name by the time this returns. Threads that it starts get the name
// too. A name, best a literal, must last until `body` runs, and has at most 15 characters: a thread keeps its
// parent's rather than a longer one.
template <typename Body> std::thread start_thread(const char *name, Body body) {
    std::thread thread([name, body = std::move(body)]() mutable {
        pthread_setname_np(pthread_self(), name); // before `body` starts threads of its own
        body();
    });
    pthread_setname_np(thread.native_handle(), name); // it may not have run yet
    return thread;
}

} // namespace llamad
