"""Asking for a segment: follows redirects, keeps credentials at home, accepts only the begun version."""

from collections.abc import Mapping

from hive.download.answer import Answer, Beyond, Moved, Part, Validators, Verdict, Whole
from hive.download.connection import Connection
from hive.download.faults import Changed, Interrupted, host_of, not_a_model, wrong_length
from hive.download.hasher import is_markup, may_be_text
from hive.download.incoming import IncomingFile
from hive.download.lifeline import Lifeline
from hive.download.local import open_local
from hive.download.origins import Origins, Target, onward_url
from hive.download.segment import ENDLESS, Segment
from shared.errors import JobFailed

MAX_REDIRECTS = 10
_KEPT = 2
"""Connections that one thread keeps open: the host that redirects, and the one that delivers."""


class Asker:
    """Belongs to one thread. `headers` go to the origin of the plan's URL and nowhere else."""

    def __init__(
        self,
        origins: Origins,
        lifeline: Lifeline,
        headers: Mapping[str, str],
        *,
        stall_timeout: float,
        user_agent: str,
    ) -> None:
        self._origins = origins
        self._lifeline = lifeline
        self._secret = dict(headers)
        self._stall_timeout = stall_timeout
        self._user_agent = user_agent
        self._kept: dict[tuple[str, str, int], Connection] = {}

    def ask(self, segment: Segment) -> tuple[Answer, Verdict]:
        """The final answer for the segment's range. Sets `file.target` to where it came from."""
        file = segment.file
        segment.asked = segment.end
        headers = _range_headers(segment)
        if file.is_local:
            answer = open_local(file.planned.url, headers)
            return answer, answer.verdict()
        target, redirected = file.target, file.redirected
        if target is None:
            target, redirected = self._check(file.planned.url, None), False
        secret = {} if redirected else self._secret
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._connection(target, segment).get(
                target, {"User-Agent": self._user_agent, **headers, **secret}
            )
            verdict = answer.verdict()
            if not isinstance(verdict, Moved):
                file.target, file.redirected = target, redirected
                return answer, verdict
            onward = self._check(onward_url(target.url, verdict.location), target.url)
            secret = secret if onward.place == target.place else {}
            target, redirected = onward, True
        raise JobFailed(
            f"{host_of(file.planned.url)} redirects in a circle for {file.path}.",
            code="redirect_loop",
            hint="Open the address in a browser; it may want a login, or the source is broken.",
        )

    def close(self) -> None:
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()

    def drop(self, segment: Segment) -> None:
        """The segment's connection cannot be used again."""
        if segment.connection is not None:
            segment.connection.close()
            self._kept.pop(segment.connection.place, None)

    def _check(self, url: str, came_from: str | None) -> Target:
        return self._lifeline.call(lambda: self._origins.check(url, came_from=came_from))

    def _connection(self, target: Target, segment: Segment) -> Connection:
        connection = self._kept.pop(target.place, None)
        if connection is None:
            connection = Connection(target, self._lifeline, stall_timeout=self._stall_timeout)
        self._kept[target.place] = connection
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        segment.connection = connection
        return connection


def _range_headers(segment: Segment) -> dict[str, str]:
    file = segment.file
    if segment.start == 0 and not file.ranges:
        return {}
    last = "" if segment.asked >= ENDLESS else segment.asked - 1
    headers = {"Range": f"bytes={segment.start}-{last}"}
    if (if_range := file.validators.if_range) is not None:
        headers["If-Range"] = if_range
    return headers


def refuse_pages(file: IncomingFile, answer: Answer, size: int | None) -> None:
    """A login page or a JSON error is no model, whatever its status says.

    A host that labels every file `text/html` is believed all the same when the size is the planned one.
    """
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity" and file.planned.sha256 is None:
        raise not_a_model(file.path, answer.host, f"{encoding[:16]}-compressed bytes")
    kinds = {
        "text/html": "a web page",
        "application/xhtml+xml": "a web page",
        "application/json": "a JSON message",
    }
    kind = kinds.get(answer.media_type)
    if kind and not may_be_text(file.path) and (file.planned.size is None or file.planned.size != size):
        raise not_a_model(file.path, answer.host, kind)


def agreed_size(segment: Segment, answer: Answer, verdict: Verdict) -> int | None:
    """The file's size by this answer, after all that can be wrong with it has been refused.

    Raises Changed for another version, Interrupted for a wrong range, JobFailed for what is no model.
    """
    file = segment.file
    match verdict:
        case Part(first, last, total, validators):
            refuse_pages(file, answer, total)
            _same_version(file, validators, total)
            if first != segment.start or last >= segment.asked:
                raise Interrupted(f"{answer.host} sends other bytes than asked for")
            return total
        case Whole(length, validators):
            refuse_pages(file, answer, length)
            if length != file.planned.size and file.planned.size is not None and length is not None:
                _refuse_markup(file, answer)
            _same_version(file, validators, length)
            return length
        case Beyond(total):
            return _beyond(segment, total)
    raise AssertionError("a redirect is never final")


def _same_version(file: IncomingFile, validators: Validators, size: int | None) -> None:
    if file.validators.differ(validators):
        raise Changed("the file changed at its source")
    if size is not None and file.size is None and size < file.pieces.have:
        raise Changed("the file became shorter at its source")
    if size is None or file.size is None or size == file.size:
        return
    if file.planned.size is not None:
        raise wrong_length(file.path, planned=file.planned.size, seen=size)
    raise Changed("the file changed its size at its source")


def _beyond(segment: Segment, total: int | None) -> int:
    """416 is right for an empty or a complete file; anything else is another version."""
    file = segment.file
    if total is not None and file.planned.size is not None and total != file.planned.size:
        raise wrong_length(file.path, planned=file.planned.size, seen=total)
    if total is not None and total == segment.start and file.planned.size in {None, total}:
        return total
    raise Changed("the range that is missing does not exist at its source")


def _refuse_markup(file: IncomingFile, answer: Answer) -> None:
    """A page of another length than planned is named a page, not a wrong length."""
    view = memoryview(bytearray(512))
    count = answer.body.readinto(view)
    if is_markup(bytes(view[:count])) and not may_be_text(file.path):
        raise not_a_model(file.path, answer.host, "a web page")
