#include "llama/compute_team.h"

#if defined(_OPENMP) && __has_include(<omp.h>)
#define LLAMAD_HAS_TEAMS
#include <omp.h>
#endif

namespace llamad {

void end_compute_team() {
#ifdef LLAMAD_HAS_TEAMS
    omp_pause_resource(omp_pause_soft, omp_get_initial_device());
#endif
}

} // namespace llamad
