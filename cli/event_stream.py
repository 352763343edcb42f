"""Server-sent events of one job, across restarts of the queen: every event once, in order, until `end`.

The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from shared.errors import Unavailable

PATIENCE = 120.0
"""Seconds of silence and refused connections after which following is given up."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
QUIET = 3.0
"""Seconds of trouble that are not worth a word."""
SILENT = "The queen does not answer; trying on."
BUSY = "The queen has no stream to spare; waiting for one."
BACK = "The queen answers again."

Open = Callable[[int | None], requests.Response]
"""Opens the stream after an event id. Raises Unavailable for what is worth another try, any other RbeeError for good."""


@dataclass(frozen=True)
class ServerEvent:
    """`id` is None for what is never replayed, such as progress."""

    type: str
    data: dict[str, Any]
    id: int | None = None


@dataclass(frozen=True)
class Note:
    """Something about the connection, for a person."""

    text: str


class EventStream:
    def __init__(
        self,
        open_stream: Open,
        *,
        patience: float = PATIENCE,
        quiet: float = QUIET,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open = open_stream
        self._patience = patience
        self._quiet = quiet
        self._sleep = sleep
        self._last_id: int | None = None
        self._spoken: dict[tuple[str, int], int] = {}
        """The last seq of an attempt that was passed on: it tells repeats apart where ids began anew."""
        self._heard = time.monotonic()
        self._retry = 0.0
        self._complained = False

    def __iter__(self) -> Iterator[ServerEvent | Note]:
        """Ends after `end`, or at once where the job had ended before. Raises Unavailable when patience runs out."""
        self._heard = time.monotonic()
        for failures in itertools.count():
            before = self._heard
            try:
                with closing(self._open(self._last_id)) as response:
                    if response.status_code == 204:
                        return
                    for event in self._read(response):
                        yield event
                        if isinstance(event, ServerEvent) and event.type == "end":
                            return
            except Unavailable as error:
                if time.monotonic() - self._heard > self._patience:
                    raise self._given_up() from error
            yield from self._pause(0 if self._heard > before else failures)

    def _read(self, response: requests.Response) -> Iterator[ServerEvent | Note]:
        """Until the connection ends, however it does."""
        frames = Frames()
        while chunk := _some(response):
            for frame in frames.feed(chunk):
                self._retry = frame.retry if frame.retry is not None else self._retry
                if event := self._event(frame):
                    self._heard = time.monotonic()
                    if self._complained:
                        self._complained = False
                        yield Note(BACK)
                    yield event
            if frames.pinged:
                frames.pinged, self._heard = False, time.monotonic()

    def _event(self, frame: "Frame") -> ServerEvent | None:
        """None for what was passed on before, and for what is no event."""
        if not frame.data and frame.event != "resync":
            return None
        try:
            data = json.loads(frame.data or "{}")
        except ValueError:
            return None
        if not isinstance(data, dict):
            return None
        if frame.event == "resync":
            self._last_id = None
        elif frame.id is not None:
            if self._last_id is not None and frame.id <= self._last_id:
                return None
            self._last_id = frame.id
        return None if self._is_repeated(data) else ServerEvent(frame.event, data, frame.id)

    def _is_repeated(self, data: dict[str, Any]) -> bool:
        """Whether this line was passed on under another id."""
        seq = data.get("seq")
        if not isinstance(seq, int):
            return False
        speaker = (str(data.get("job_id")), int(data.get("attempt", 0)))
        if seq <= self._spoken.get(speaker, 0):
            return True
        self._spoken[speaker] = seq
        return False

    def _pause(self, failures: int) -> Iterator[Note]:
        """Doubling, jittered; longer where the queen asked for it."""
        silent = time.monotonic() - self._heard
        if silent > self._patience:
            raise self._given_up()
        if silent > self._quiet and not self._complained:
            self._complained = True
            yield Note(BUSY if self._retry > LONGEST_PAUSE else SILENT)
        pause = min(FIRST_PAUSE * 2.0 ** min(failures, 10), LONGEST_PAUSE)
        asked = self._retry if self._retry > LONGEST_PAUSE else 0.0
        self._sleep(max(pause, asked) * random.uniform(0.8, 1.2))  # noqa: S311

    def _given_up(self) -> Unavailable:
        return Unavailable(
            f"The queen has not been heard for {self._patience:.0f} s.", hint="The job goes on without us."
        )


def _some(response: requests.Response) -> bytes:
    """What has come, as soon as something has; nothing at the end, a cut or a time-out."""
    try:
        chunk: bytes = response.raw.read1(65536)
    except (HTTPError, requests.RequestException, OSError):
        return b""
    return chunk


@dataclass
class Frame:
    """One event as it was sent. `retry` in seconds."""

    event: str = "message"
    data: str = ""
    id: int | None = None
    retry: float | None = None


@dataclass
class Frames:
    """Makes frames of what a socket delivers, wherever it is cut. `pinged`: a comment came."""

    pinged: bool = False
    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        *lines, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", errors="replace")
            if text.startswith(":"):
                self.pinged = True
            elif text:
                self._lines.append(text)
            elif self._lines:
                yield _frame(self._lines)
                self._lines = []


def _frame(lines: list[str]) -> Frame:
    frame, data = Frame(), []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                frame.event = value
            case "data":
                data.append(value)
            case "id" if value.isascii() and value.isdecimal():
                frame.id = int(value)
            case "retry" if value.isascii() and value.isdecimal():
                frame.retry = int(value) / 1000
    frame.data = "\n".join(data)
    return frame
