"""Memory that is free but still held."""

from __future__ import annotations

import ctypes


def return_free_memory() -> None:
    """Give memory that this process has freed back to the system, where the C library can.

    glibc keeps what lies between pieces in use: after a large index was built of many pieces, several hundred MB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
