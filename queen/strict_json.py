"""JSON from outside, as rows, the live channel and browsers can take it.

Python reads more than JSON is: NaN and infinities, nesting without end, NUL and halves of surrogate pairs inside strings. Each of
these breaks somebody later: PostgreSQL, an encoder, the next reader.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 64
_UNSAFE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def loads(raw: bytes, *, mend: bool = False) -> Any:
    """The parsed value. Raises ValueError.

    `mend` is for machines that only pass on what a program printed: unsafe characters become U+FFFD, and what is no number
    becomes null, instead of losing all that was said.
    """
    number = _number(mend)
    try:
        value = json.loads(raw, parse_constant=number, parse_float=number)
        if b"\\u" in raw or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
            value = _checked(value, mend, MAX_DEPTH)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def _number(mend: bool) -> Callable[[str], float | None]:
    def read(text: str) -> float | None:
        value = float(text)
        if math.isfinite(value):
            return value
        if not mend:
            raise ValueError("not a number")
        return None

    return read


def _checked(value: Any, mend: bool, depth: int) -> Any:
    if depth == 0:
        raise ValueError("nested too deep")
    match value:
        case str():
            if not mend and _UNSAFE.search(value):
                raise ValueError("characters that cannot be stored")
            return _UNSAFE.sub(_REPLACEMENT, value)
        case list():
            return [_checked(item, mend, depth - 1) for item in value]
        case dict():
            return {
                _checked(key, mend, depth): _checked(item, mend, depth - 1) for key, item in value.items()
            }
    return value
