"""JSON as clients send it and as it is answered: what cannot be stored is refused, the rest keeps its exact value.

orjson alone would make a float of an integer beyond 64 bits, and refuse to write one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson

from towpath.core.errors import BadInputError, ErrorCode

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_DEPTH = 220
"""Below the 254 levels that orjson writes, with room for the answer around a client's value."""
_MAX_SHOWN = 200
# Every digit a nought: a run of them is then found several times as fast as by an expression.
_NOUGHTS = bytes(ord("0") if chr(code).isascii() and chr(code).isdigit() else ord(" ") for code in range(256))
_LONG_NUMBER = b"0" * 19
_NUL = b"\\u0000"


class BadValueError(BadInputError):
    """Valid JSON with a value in it that no part can hold; of a list, only the item that has it is refused."""


def read_json(raw: bytes, where: str = "", *, offset: int = 0) -> Any:
    """Read what a client has sent.

    Args:
        raw: The bytes; a byte order mark before them is ignored.
        where: The value's place in the request, such as `entities[3]`, for messages; empty: it is the body.
        offset: Where it begins in the body, for messages.

    Raises:
        BadValueError: A NUL character, half of a surrogate pair, a number beyond what a float can hold, or too many
            levels.
        BadInputError: No JSON; the message has the offset.
    """
    text = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _refuse_value(text, where)
        position = offset + len(raw) - len(text) + error.pos
        raise BadInputError(
            f"{where or 'the body'} is not valid JSON: {error.msg} at offset {position}",
            code=ErrorCode.INVALID_JSON,
            field=where or None,
        ) from error
    if _NUL in text:
        _refuse(value, where, _has_nul, "contains a null byte", ErrorCode.NULL_BYTE)
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH:
        _check_depth(value, where)
    return _exact(text, value)


def parse_json(raw: bytes | str) -> Any:
    """Read what has been through `read_json` before, with the exact value of every integer."""
    return _exact(raw.encode() if isinstance(raw, str) else raw, orjson.loads(raw))


def write_json(value: Any, *, options: int = 0) -> bytes:
    """Write JSON; integers of any size stand as they are.

    Args:
        value: What is ready for JSON.
        options: Those of orjson: `OPT_SORT_KEYS`, `OPT_INDENT_2`, `OPT_APPEND_NEWLINE`.
    """
    try:
        return orjson.dumps(value, option=options)
    except TypeError:
        pretty = bool(options & orjson.OPT_INDENT_2)
        text = json.dumps(
            _finite(value),
            separators=None if pretty else (",", ":"),
            sort_keys=bool(options & orjson.OPT_SORT_KEYS),
            indent=2 if pretty else None,
            default=_plain,
            ensure_ascii=False,
        )
        return (text + ("\n" if options & orjson.OPT_APPEND_NEWLINE else "")).encode("utf-8", "backslashreplace")


def assert_text(text: str, field: str) -> None:
    """Refuse text that no part can store.

    Raises:
        BadInputError: It holds a NUL character or half of a surrogate pair.
    """
    if _has_nul(text):
        raise BadInputError(f"{field} contains a null byte", code=ErrorCode.NULL_BYTE, field=field)
    if _has_half(text):
        raise BadInputError(
            f"{field} contains half of a surrogate pair, which is no character",
            code=ErrorCode.INVALID_ENCODING,
            field=field,
        )


def find_problem(value: Any) -> str | None:
    """Return what no part can hold in a value that did not come through `read_json`, such as a model's answer."""
    for path, item, depth in _walk(value):
        location = path[:_MAX_SHOWN] or "the value"
        if depth >= MAX_DEPTH:
            return f"{location} is nested deeper than {MAX_DEPTH} levels"
        if any(_has_nul(text) or _has_half(text) for text in (item, *(item if isinstance(item, dict) else ()))):
            return f"{location} contains a null byte or half of a surrogate pair"
        if _is_beyond(item):
            return f"{location} is no number that can be held"
    return None


def _exact(text: bytes, value: Any) -> Any:
    return json.loads(text) if _LONG_NUMBER in text.translate(_NOUGHTS) else value


def _refuse_value(text: bytes, where: str) -> None:
    """Name the value for which orjson refuses JSON that is JSON after all."""
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant)
    except RecursionError:
        _refuse_depth(where)
    except json.JSONDecodeError:
        return
    except UnicodeDecodeError:
        return
    except ValueError as error:
        # Python reads no integer of more than 4,300 digits; its message says so.
        if "digits" in str(error):
            raise BadValueError(
                f"{where or 'the body'} holds a number of too many digits", field=where or None
            ) from None
        return
    _check_depth(value, where)
    _refuse(value, where, _has_half, "contains half of a surrogate pair, which is no character")
    _refuse(value, where, _is_beyond, "is a number beyond what can be held", ErrorCode.INVALID_VALUE)


def _refuse(
    value: Any, where: str, test: Callable[[Any], bool], problem: str, code: ErrorCode = ErrorCode.INVALID_ENCODING
) -> None:
    for path, item, _ in _walk(value):
        location = (f"{where}.{path}".strip(".") if path[:1] != "[" else where + path)[:_MAX_SHOWN]
        if isinstance(item, dict) and any(test(name) for name in item):
            raise BadValueError(f"a name in {location or 'the body'} {problem}", code=code, field=location or None)
        if test(item):
            raise BadValueError(f"{location or 'the body'} {problem}", code=code, field=location or None)


def _check_depth(value: Any, where: str) -> None:
    if any(depth >= MAX_DEPTH and isinstance(item, dict | list) for _, item, depth in _walk(value)):
        _refuse_depth(where)


def _refuse_depth(where: str) -> NoReturn:
    raise BadValueError(f"{where or 'the body'} is nested deeper than {MAX_DEPTH} levels", field=where or None)


def _walk(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Every value with its path and depth, in order.

    Without recursion, because how deep the value is may be what is looked for.
    """
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        path, parent, depth = waiting.pop()
        yield path, parent, depth
        if isinstance(parent, dict):
            inside = [(f"{path}.{name}" if path else name, item, depth + 1) for name, item in parent.items()]
        elif isinstance(parent, list):
            inside = [(f"{path}[{index}]", item, depth + 1) for index, item in enumerate(parent)]
        else:
            continue
        waiting += reversed(inside)


def _has_nul(value: Any) -> bool:
    return isinstance(value, str) and "\0" in value


def _has_half(value: Any) -> bool:
    return isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)


def _is_beyond(value: Any) -> bool:
    if isinstance(value, int):
        return value.bit_length() > 1023
    return isinstance(value, float) and not math.isfinite(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(value: Any) -> Any:
    """Return the value with null for what is no number, as orjson writes it."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))
