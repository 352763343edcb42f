"""What a host answers, and what it means for the bytes we want."""

import re
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Protocol

from hive.download.faults import Busy, Changed, Denied, Fault, Interrupted
from hive.download.patience import retry_after

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", re.IGNORECASE)
_SUFFIX = re.compile(r"[-;](?:-?gzip|br|deflate|df|zstd)$")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})
_RETRIED = frozenset({408, 421, 425})


class Body(Protocol):
    """The bytes after the headers. `readinto` gives 0 only at the proper end, Interrupted when cut off."""

    def readinto(self, view: memoryview) -> int: ...

    @property
    def length(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of a file from another: ETag and Last-Modified."""

    etag: str | None = None
    modified: str | None = None

    @property
    def if_range(self) -> str | None:
        """A strong ETag, else the date (RFC 9110 §13.1.5 forbids weak ones)."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified

    def differ(self, other: "Validators") -> bool:
        """Whether both name a version, and not the same one, whatever marks proxies add to it."""
        if self.etag and other.etag:
            return bare_etag(self.etag) != bare_etag(other.etag)
        return bool(self.modified and other.modified and self.modified != other.modified)

    def agree(self, other: "Validators") -> bool:
        comparable = bool((self.etag and other.etag) or (self.modified and other.modified))
        return comparable and not self.differ(other)


def bare_etag(etag: str) -> str:
    return _SUFFIX.sub("", etag.removeprefix("W/").strip().strip('"'))


@dataclass(frozen=True, slots=True)
class Part:
    """206: the body is `first`..`last` (inclusive) of a file of `total` bytes, None if not said."""

    first: int
    last: int
    total: int | None
    validators: Validators


@dataclass(frozen=True, slots=True)
class Whole:
    """200: the body is the whole file; `length` None when the host does not say."""

    length: int | None
    validators: Validators


@dataclass(frozen=True, slots=True)
class Moved:
    location: str


@dataclass(frozen=True, slots=True)
class Beyond:
    """416: the range lies outside the file, which has `total` bytes."""

    total: int | None


Verdict = Part | Whole | Moved | Beyond


@dataclass(slots=True)
class Answer:
    """A status, headers, and a body not yet read."""

    status: int
    headers: HTTPMessage
    body: Body
    host: str

    def verdict(self) -> Verdict:
        """Raises the Fault that the status stands for where there are no bytes to take."""
        if self.status == 206:
            return self._part()
        if self.status == 200:
            return Whole(self.body.length, self.validators)
        if self.status in _REDIRECTS and (location := self.headers.get("Location")):
            return Moved(location)
        if self.status == 416:
            match = _RANGE.fullmatch((self.headers.get("Content-Range") or "").strip())
            return Beyond(int(match[3]) if match and match[3] != "*" else None)
        raise self._fault()

    @property
    def validators(self) -> Validators:
        return Validators(self.headers.get("ETag"), self.headers.get("Last-Modified"))

    @property
    def media_type(self) -> str:
        return (self.headers.get("Content-Type") or "").split(";", 1)[0].strip().lower()

    def _part(self) -> Part:
        match = _RANGE.fullmatch((self.headers.get("Content-Range") or "").strip())
        if not match or match[1] is None:
            raise Interrupted(f"{self.host} sends a part and does not say which")
        first, last = int(match[1]), int(match[2])
        total = None if match[3] == "*" else int(match[3])
        length = self.body.length
        if last < first or (length is not None and length != last - first + 1) or (total or last + 1) <= last:
            raise Interrupted(f"{self.host} sends a part that contradicts itself")
        return Part(first, last, total, self.validators)

    def _fault(self) -> Fault:
        reason = f"{self.host} answers {self.status}"
        if self.status in _BUSY:
            return Busy(reason, retry_after(self.headers.get("Retry-After")))
        if self.status == 412:
            return Changed(f"{self.host} no longer has the version that was begun")
        if self.status >= 500 or self.status in _RETRIED:
            return Interrupted(reason)
        return Denied(self.status, self.host)
