"""What can go wrong while bytes come in.

::

    Fault                 the segment is given back
    ├── Interrupted       try again after a pause: cut, stalled, 5xx, nonsense
    ├── Busy              429 or 503: the host names the pause, or wants fewer connections
    ├── Denied            401, 403 or an expired link: ask again from the start, or alone, or fail
    └── Changed           the file is not the one begun: start it again, never mix

What no retry can mend is a `shared.errors.JobFailed`, built here so that all its words stand together.
"""

from urllib.parse import urlsplit

from hive.disk import in_words
from shared.errors import JobFailed

_CODES = {401: "unauthorized", 402: "forbidden", 403: "forbidden", 404: "not_found", 410: "not_found"}
_UNAUTHORIZED = "Store a valid access token for this host, then retry the job."
_FORBIDDEN = (
    "Accept the model's terms on its page (gated model) or use a token that may read it, then retry the job."
)
_NOT_FOUND = "Check the name, the file and the revision; it may have been renamed or removed."


class Fault(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupted(Fault):
    pass


class Busy(Fault):
    """`seconds` is the pause that the host asked for, None when it named none."""

    def __init__(self, reason: str, seconds: float | None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Denied(Fault):
    def __init__(self, status: int, host: str) -> None:
        super().__init__(f"{host} answers {status}")
        self.status = status
        self.host = host


class Changed(Fault):
    pass


def host_of(url: str) -> str:
    return urlsplit(url).hostname or "this machine"


def denied(path: str, fault: Denied) -> JobFailed:
    code = _CODES.get(fault.status, "refused")
    hint = {"unauthorized": _UNAUTHORIZED, "forbidden": _FORBIDDEN, "not_found": _NOT_FOUND}.get(
        code, "Open the address in a browser to see what the host says, or choose another source."
    )
    words = {
        "unauthorized": f"{fault.host} wants a login for {path}",
        "forbidden": f"{fault.host} refuses {path}",
        "not_found": f"{fault.host} has no {path}",
    }.get(code, f"{fault.host} refuses {path}")
    return JobFailed(f"{words} (status {fault.status}).", code=code, hint=hint)


def unreachable(path: str, reason: str, tries: int) -> JobFailed:
    message = f"{path} cannot be fetched: {reason}, after {tries} tries without a new byte."
    return JobFailed(
        message,
        code="unreachable",
        hint="Check the network and the host, then retry: it resumes where it is.",
    )


def wrong_length(path: str, *, planned: int, seen: int | None) -> JobFailed:
    seen_words = "more" if seen is None else f"{in_words(seen)} ({seen} bytes)"
    message = f"{path} should have {in_words(planned)} ({planned} bytes), but the host has {seen_words}."
    return JobFailed(
        message, code="wrong_length", hint="The file was replaced since it was planned; start a new download."
    )


def not_a_model(path: str, host: str, kind: str) -> JobFailed:
    return JobFailed(
        f"{host} sends {kind} instead of {path}.",
        code="not_a_model",
        hint="The host may want a login or a click; open the address in a browser, or store a token for it.",
    )


def checksum_mismatch(path: str) -> JobFailed:
    return JobFailed(
        f"{path} was fetched twice, and twice its bytes did not match the published SHA-256.",
        code="checksum_mismatch",
        hint="Do not use this source: the file is damaged or replaced. Try a mirror, or tell its publisher.",
    )


def keeps_changing(path: str, reason: str) -> JobFailed:
    return JobFailed(
        f"{path} keeps changing while it is fetched: {reason}.",
        code="changed",
        hint="Wait until the publisher has finished uploading, then retry the job.",
    )
