// The threads that compute for a thread.
#pragma once

namespace llamad {

// Ends the OpenMP team of the calling thread; its next computation makes a new one. OpenMP keeps a team for
// each thread that has computed, and where there are more of them than processors, all of them sleep between
// any two operations instead of spinning. Without OpenMP there is nothing to end.
void end_compute_team();

} // namespace llamad
