"""Memory that is free but still held, and the search for memory that nobody holds any more."""

from __future__ import annotations

import ctypes
import gc

OBJECTS_A_LOOK = 50_000
YOUNGER_LOOKS = 20


def return_free_memory() -> None:
    """Give memory that this process has freed back to the system, where the C library can.

    glibc keeps what lies between pieces in use: after a large index was built of many pieces, several hundred MB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle_collector() -> None:
    """Let Python's collector of cycles pass over what has been loaded by now, and look less often.

    A page of entities is tens of thousands of lists, which all live as long as the page. With the defaults they make
    the collector walk through every module and class of the process again and again: up to half of a page's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_A_LOOK, YOUNGER_LOOKS, YOUNGER_LOOKS)
