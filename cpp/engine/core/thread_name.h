// Names a thread for debuggers, `top -H` and profiles.
#pragma once

#include <pthread.h>

namespace llamad {

// Threads that this one starts get the name too. At most 15 characters, or the name stays as it is.
inline void name_this_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

} // namespace llamad
