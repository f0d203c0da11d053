"""Memory that is free but still held, and the search for memory that nobody holds any more."""

from __future__ import annotations

import ctypes
import gc

# Of glibc's malloc.h.
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
LARGE_BYTES = 1 << 20
ARENAS = 2
OBJECTS_A_LOOK = 50_000
YOUNGER_LOOKS = 20


def return_free_memory() -> None:
    """Give memory that this process has freed back to the system, where the C library can.

    glibc keeps what lies between pieces in use: after a large index was built of many pieces, several hundred MB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def bound_allocator() -> None:
    """Let large arrays go back to the system as soon as they are freed, where the C library can; before any thread.

    By default glibc takes memory for ever larger pieces from the heap once one such piece was freed, and has a heap for
    each of some threads: what pages of entities leave behind adds up to several hundred MB.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(_ARENA_MAX, ARENAS)
        adjust(_MMAP_THRESHOLD, LARGE_BYTES)


def settle_collector() -> None:
    """Let Python's collector of cycles pass over what has been loaded by now, and look less often.

    A page of entities is tens of thousands of lists, which all live as long as the page. With the defaults they make
    the collector walk through every module and class of the process again and again: up to half of a page's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_A_LOOK, YOUNGER_LOOKS, YOUNGER_LOOKS)
