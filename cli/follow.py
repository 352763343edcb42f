"""Follows jobs to their end: what their streams tell, handed to a display in order."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from cli.event_stream import EventStream, Note, ServerEvent
from cli.queen_api import QueenApi
from shared.errors import RbeeError

Job = dict[str, Any]
"""As the API shows one."""
Heard = ServerEvent | Note


class Display(Protocol):
    """Shows what happens; as a context it holds the screen."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def job(self, job: Job) -> None:
        """A job as it now stands; also each child's of a job for all hives."""

    def progress(self, event: dict[str, Any]) -> None: ...

    def said(self, event: dict[str, Any]) -> None:
        """A narrated line, or a line of a child's output (`kind` is log)."""

    def ended(self, event: dict[str, Any]) -> None: ...

    def note(self, text: str) -> None:
        """About the connection, not about a job."""

    def has_said(self, job_id: str, text: str) -> bool:
        """Whether a person has just read that."""


def follow(api: QueenApi, job_ids: list[str], display: Display) -> list[Job]:
    """The jobs as they ended, in the order given. Raises Unavailable when the queen stays away."""
    known: dict[str, Job] = {}
    with display:
        for heard in _all(api, job_ids):
            _show(heard, known, display)
    return [known[job_id] if job_id in known else api.get(f"/v1/jobs/{job_id}") for job_id in job_ids]


def stream(api: QueenApi, job_id: str) -> EventStream:
    return EventStream(lambda last_id: api.stream(f"/v1/jobs/{job_id}/stream", last_id))


def _show(heard: Heard, known: dict[str, Job], display: Display) -> None:
    match heard:
        case Note(text):
            display.note(text)
        case ServerEvent("job", data):
            known[data["id"]] = data
            display.job(data)
        case ServerEvent("progress", data):
            display.progress(data)
        case ServerEvent("line" | "log", data):
            display.said(data)
        case ServerEvent("end", data):
            outcome = {name: data.get(name) for name in ("state", "error", "result", "hive_id")}
            known[data["job_id"]] = known.get(data["job_id"], {"id": data["job_id"]}) | outcome
            display.ended(data)


def _all(api: QueenApi, job_ids: list[str]) -> Iterator[Heard]:
    if len(job_ids) == 1:
        yield from stream(api, job_ids[0])
        return
    heard: queue.SimpleQueue[Heard | RbeeError | None] = queue.SimpleQueue()

    def listen(job_id: str) -> None:
        try:
            for event in stream(api, job_id):
                heard.put(event)
        except RbeeError as error:
            heard.put(error)
        heard.put(None)

    for job_id in job_ids:
        threading.Thread(target=listen, args=(job_id,), name=f"follow {job_id}", daemon=True).start()
    left = len(job_ids)
    while left:
        event = heard.get()
        if isinstance(event, RbeeError):
            raise event
        if event is None:
            left -= 1
        else:
            yield event
