"""HTTP: routes, clients that vanish, limits, life and death of the process."""
