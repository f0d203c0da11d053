"""What a child may take of the machine; set by itself before it looks at any file."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import sys

from towpath.documents.types import MEBIBYTE, ReadLimits

PR_SET_PDEATHSIG = 1
MAX_FILES = 256
# Beyond the time of a page: the parent looks at the clock first, this holds when nobody does.
SPARE_SECONDS = 5


def confine(limits: ReadLimits, parent: int) -> None:
    """Bound memory, files and life by those of the parent.

    Args:
        parent: Its process id.
    """
    _die_with(parent)
    # What a terminal sends to all is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError):
        import resource

        _bound(resource.RLIMIT_AS, limits.memory_mb * MEBIBYTE)
        _bound(resource.RLIMIT_FSIZE, 0)
        _bound(resource.RLIMIT_CORE, 0)
        _bound(resource.RLIMIT_NOFILE, MAX_FILES)


def allow_seconds(seconds: float, threads: int) -> None:
    """Set the processor time that may be used from now on; past it, the kernel ends the process.

    Args:
        seconds: Of one page.
        threads: That may compute at once.
    """
    with contextlib.suppress(ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        allowed = used.ru_utime + used.ru_stime + seconds * threads + SPARE_SECONDS
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(allowed), hard))


def _bound(kind: int, most: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    soft_limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # Some systems know a limit and refuse to set it.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft_limit, soft_limit))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # It may have died before that.
    if os.getppid() != parent:
        os._exit(1)
