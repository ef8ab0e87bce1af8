"""The number of handles that a part of the program may hold: smaller if the system allows few."""

import sys

USUAL = 1024  # handles that a process is allowed, nearly everywhere
LEAST = 4


def share(most: int) -> int:
    """Return `most`, or less in proportion where a process may hold fewer handles than usual."""
    if sys.platform == "win32":
        return most
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY or allowed >= USUAL:
        return most
    return max(most * allowed // USUAL, LEAST)
