"""The piece map: which bytes of a file are on disk, each piece with its CRC-32. It survives power cuts.

A sidecar of lines, only ever appended to. The first is a JSON object that says which version of which file
this is; then `+ start length crc` (decimal, decimal, hex) for a piece that arrived, `- start` for one found
damaged. A piece is never trusted because of its line: a power cut may keep the line and lose the bytes, so a
new process checks the CRC while it hashes. So nothing is synced piece by piece, and a torn line does no harm.
"""

import bisect
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `start + length`. `trusted` when this process wrote them itself."""

    start: int
    length: int
    crc: int
    trusted: bool

    @property
    def end(self) -> int:
        return self.start + self.length


class PieceMap:
    """Pieces in memory, guarded by the schedule's lock, and where `path` is given also on disk."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fd: int | None = None
        self._pieces: dict[int, Piece] = {}
        self.have = 0
        """Bytes in all pieces."""

    def get(self, start: int) -> Piece | None:
        return self._pieces.get(start)

    def __len__(self) -> int:
        return len(self._pieces)

    def load(self) -> dict[str, Any] | None:
        """Reads the sidecar; its first line, or None where there is nothing usable."""
        if self._path is None or not self._path.exists():
            return None
        head, *lines = self._path.read_bytes().split(b"\n")
        try:
            identity = json.loads(head)
        except ValueError:
            return None
        if not isinstance(identity, dict) or identity.get("v") != VERSION:
            return None
        self._replay(lines[:-1])
        return identity

    def begin(self, identity: dict[str, Any]) -> None:
        """A new sidecar with no pieces."""
        self._pieces.clear()
        self.have = 0
        if self._path is None:
            return
        self.close()
        self._fd = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._append(json.dumps({"v": VERSION, **identity}))

    def go_on(self) -> None:
        """Appends to the sidecar that was loaded; a torn last line is ended first."""
        if self._path is not None and self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._append("")

    def add(self, start: int, length: int, crc: int) -> Piece:
        """A piece that this process wrote; in memory only, until `note`."""
        piece = self._pieces[start] = Piece(start, length, crc, trusted=True)
        self.have += length
        return piece

    def drop(self, piece: Piece) -> None:
        """In memory only, until `note_loss`."""
        del self._pieces[piece.start]
        self.have -= piece.length

    def note(self, piece: Piece) -> None:
        """Writes the piece down; needs no lock."""
        self._append(f"+ {piece.start} {piece.length} {piece.crc:08x}")

    def note_loss(self, piece: Piece) -> None:
        """Writes down that the piece is damaged; needs no lock, but comes before its bytes are fetched anew."""
        self._append(f"- {piece.start}")

    def clip(self, size: int) -> None:
        """Forgets what lies past the end of a data file of `size` bytes."""
        for piece in [piece for piece in self._pieces.values() if piece.end > size]:
            self.drop(piece)

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """What is missing of 0..`size`, in order, as (start, end)."""
        found, at = [], 0
        for start in sorted(self._pieces):
            if start > at:
                found.append((at, start))
            at = self._pieces[start].end
        return [*found, (at, size)] if at < size else found

    def sync(self) -> None:
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, line: str) -> None:
        if self._fd is not None:
            os.write(self._fd, f"{line}\n".encode("ascii"))

    def _replay(self, lines: list[bytes]) -> None:
        starts: list[int] = []
        for line in lines:
            match line.split():
                case [b"+", start, length, crc]:
                    self._replay_piece(starts, start, length, crc)
                case [b"-", start] if start.isdigit():
                    self._forget(starts, int(start))
        self.have = sum(piece.length for piece in self._pieces.values())

    def _replay_piece(self, starts: list[int], start: bytes, length: bytes, crc: bytes) -> None:
        """A later piece replaces every earlier one that it overlaps."""
        try:
            piece = Piece(int(start), int(length), int(crc, 16), trusted=False)
        except ValueError:
            return
        if piece.start < 0 or piece.length <= 0:
            return
        at = bisect.bisect_left(starts, piece.start)
        if at and self._pieces[starts[at - 1]].end > piece.start:
            at -= 1
        while at < len(starts) and starts[at] < piece.end:
            self._forget(starts, starts[at])
        bisect.insort(starts, piece.start)
        self._pieces[piece.start] = piece

    def _forget(self, starts: list[int], start: int) -> None:
        if self._pieces.pop(start, None) is not None:
            starts.pop(bisect.bisect_left(starts, start))
