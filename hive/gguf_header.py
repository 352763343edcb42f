"""The head of a GGUF file: its architecture, its longest context, how large it calls itself.

Format: ggml-org/ggml docs/gguf.md. Files come from strangers, so every count is capped.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"GGUF"
_MAX_PAIRS = 100_000
_MAX_ARRAY = 4_000_000
_MAX_KEY = 65_535
_MAX_TEXT = 16 * 1024 * 1024
"""Bytes; chat templates are long."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_WANTED = ("general.architecture", "general.size_label")


@dataclass(frozen=True)
class GgufHeader:
    architecture: str
    size_label: str | None = None
    """`7B`, `8x7B`."""
    context_length: int | None = None
    """Tokens."""


def read_header(path: Path) -> GgufHeader:
    """Reads no further than the tokenizer, which comes after what is wanted. Raises ValueError, OSError."""
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise ValueError("not a GGUF file")
        version, _, pairs = _unpack(file, "IQQ")
        if not 2 <= version <= 3 or pairs > _MAX_PAIRS:
            raise ValueError("not a GGUF version that is known")
        return _header(_pairs(file, pairs))


def _header(found: dict[str, object]) -> GgufHeader:
    architecture = found.get("general.architecture")
    if not isinstance(architecture, str):
        raise ValueError("no architecture")
    size, context = found.get("general.size_label"), found.get(f"{architecture}.context_length")
    return GgufHeader(
        architecture[:64],
        size[:32] if isinstance(size, str) else None,
        context if isinstance(context, int) and not isinstance(context, bool) else None,
    )


def _pairs(file: BinaryIO, count: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(count):
        key = _text(file, _MAX_KEY)
        if key.startswith("tokenizer."):
            break
        (kind,) = _unpack(file, "I")
        value = _value(file, kind)
        if key in _WANTED or key.endswith(".context_length"):
            found[key] = value
    return found


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _TEXT:
        return _text(file, _MAX_TEXT)
    if kind == _ARRAY:
        _skip_array(file)
        return None
    if kind not in _SCALARS:
        raise ValueError("a value of unknown type")
    return _unpack(file, _SCALARS[kind])[0]


def _skip_array(file: BinaryIO) -> None:
    kind, count = _unpack(file, "IQ")
    if count > _MAX_ARRAY:
        raise ValueError("an array without end")
    if kind in _SCALARS:
        file.seek(struct.calcsize(_SCALARS[kind]) * count, 1)
        return
    if kind != _TEXT:
        raise ValueError("an array of unknown type")
    for _ in range(count):
        _text(file, _MAX_TEXT)


def _text(file: BinaryIO, longest: int) -> str:
    (length,) = _unpack(file, "Q")
    if length > longest:
        raise ValueError("a text without end")
    return _exactly(file, length).decode("utf-8", errors="replace")


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    layout = struct.Struct(f"<{form}")
    return layout.unpack(_exactly(file, layout.size))


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("cut off")
    return data
