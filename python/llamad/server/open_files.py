"""How many files and connections the process may have open."""

from __future__ import annotations

import logging
import resource

_OWN_FILES = 256
"""For everything but clients: models, logs, the prefix cache, the monitor."""

_logger = logging.getLogger("llamad.server")


def make_room_for(connections: int) -> int:
    """Raise the soft limit of open files so that so many clients leave enough for everything else.

    The usual limit of 1,024 is for programs that use `select`; what the administrator means is the hard one.

    Returns:
        How many connections there is room for: fewer where the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OWN_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    if reachable == wanted:
        return connections
    fitting = max(reachable - _OWN_FILES, reachable // 2)
    _logger.warning(
        "--max-connections %d would need %d open files, and the limit is %d (ulimit -Hn): taking %d",
        connections,
        wanted,
        reachable,
        fitting,
    )
    return fitting
