"""Arrays of numbers on their way to Postgres: numpy's memory as one block, instead of a Python object a value."""

from __future__ import annotations

import struct
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

_HEADER = struct.Struct(">iiIii")
_EMPTY = struct.Struct(">iiI")


class _ArrayDumper(Dumper):
    """Sends a one-dimensional array; for each type of values there is a class of its own."""

    format = Format.BINARY
    element_oid: ClassVar[int]
    row: ClassVar[np.dtype[Any]]

    def dump(self, obj: npt.NDArray[Any]) -> bytes:
        if not len(obj):
            return _EMPTY.pack(0, 0, self.element_oid)
        rows = np.empty(len(obj), dtype=self.row)
        rows["length"] = self.row["value"].itemsize
        rows["value"] = obj
        return _HEADER.pack(1, 0, self.element_oid, len(obj), 1) + rows.tobytes()


class _Int64Dumper(_ArrayDumper):
    oid, element_oid = 1016, 20
    row = np.dtype([("length", ">i4"), ("value", ">i8")])


class _Float64Dumper(_ArrayDumper):
    oid, element_oid = 1022, 701
    row = np.dtype([("length", ">i4"), ("value", ">f8")])


class _BoolDumper(_ArrayDumper):
    oid, element_oid = 1000, 16
    row = np.dtype([("length", ">i4"), ("value", "u1")])


_DUMPERS: dict[str, type[_ArrayDumper]] = {"i8": _Int64Dumper, "f8": _Float64Dumper, "b1": _BoolDumper}


class ArrayDumper(Dumper):
    """Finds the dumper of an array by the type of its values: `int64`, `float64` or `bool`."""

    format = Format.BINARY

    def get_key(self, obj: npt.NDArray[Any], format: PyFormat) -> tuple[type, ...]:
        """Tell psycopg which arrays are sent alike."""
        return (self.cls, _dumper_of(obj))

    def upgrade(self, obj: npt.NDArray[Any], format: PyFormat) -> Dumper:
        """Return the dumper of arrays like this one."""
        return _dumper_of(obj)(self.cls)

    def dump(self, obj: npt.NDArray[Any]) -> bytes:
        """Refuse: `upgrade` has given psycopg another dumper."""
        raise NotImplementedError


def _dumper_of(array: npt.NDArray[Any]) -> type[_ArrayDumper]:
    dumper = _DUMPERS.get(array.dtype.str[1:])
    if dumper is None or array.ndim != 1:
        raise psycopg.ProgrammingError(f"no array of Postgres for {array.ndim} dimensions of {array.dtype}")
    return dumper


def register_arrays() -> None:
    """Let every connection of this process take numpy's arrays as parameters."""
    psycopg.adapters.register_dumper(np.ndarray, ArrayDumper)
