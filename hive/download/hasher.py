"""SHA-256 of a file while it is still coming in: follows the unbroken front of pieces."""

import hashlib
import zlib

from hive.download.faults import host_of, not_a_model
from hive.download.incoming import IncomingFile
from hive.download.piecemap import Piece
from hive.download.schedule import Schedule

BUFFER = 1 << 20
_TEXT = (".html", ".htm", ".json", ".txt", ".md", ".xml", ".svg")
_MARKUP = (b"<!doctype html", b"<html")


def may_be_text(path: str) -> bool:
    """Whether a planned file may itself be a page or JSON."""
    return path.lower().endswith(_TEXT)


def is_markup(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower().startswith(_MARKUP)


class Hasher:
    """Reads pieces back from the page cache, and checks the CRC of those of an earlier process."""

    def __init__(self, file: IncomingFile, schedule: Schedule, buffer: memoryview | None = None) -> None:
        self._file = file
        self._schedule = schedule
        self._buffer = buffer if buffer is not None else memoryview(bytearray(BUFFER))
        self._digest = hashlib.sha256()
        self.damaged = 0
        """Bytes that an earlier process recorded and that are not on the disk."""

    def run(self) -> str | None:
        """The hex digest once every byte is here and hashed; None when the file starts again."""
        at = 0
        while piece := self._schedule.piece_at(self._file, at):
            if self._take(piece):
                at = piece.end
                self._file.hashed = at
            else:
                self.damaged += piece.length
                self._schedule.distrust(self._file, piece)
        return self._digest.hexdigest() if at == self._file.size else None

    def _take(self, piece: Piece) -> bool:
        before = self._digest.copy()
        at, crc = piece.start, 0
        while at < piece.end:
            count = self._file.part.read(self._buffer[: piece.end - at], at)
            if count == 0:
                break
            view = self._buffer[:count]
            if at == 0:
                self._refuse_pages(bytes(view[:512]))
            self._digest.update(view)
            if not piece.trusted:
                crc = zlib.crc32(view, crc)
            at += count
        if at == piece.end and (piece.trusted or crc == piece.crc):
            return True
        self._digest = before
        return False

    def _refuse_pages(self, head: bytes) -> None:
        file = self._file
        if is_markup(head) and not may_be_text(file.path):
            raise not_a_model(file.path, host_of(file.target.url if file.target else ""), "a web page")
