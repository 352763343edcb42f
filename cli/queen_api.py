"""The queen's HTTP API as the commands use it: explicit timeouts, pinned certificate, errors by name."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import click
import requests

from cli import queens
from cli.queens import Queen
from hive.queen_client import open_session
from shared.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    RbeeError,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    Unprocessable,
)
from shared.timing import PING

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and to wait for an answer."""
STREAM_TIMEOUT = (5.0, PING * 2)
"""The same of a stream, which sends a ping every PING seconds."""

_BY_STATUS: dict[int, type[RbeeError]] = {
    kind.status: kind
    for kind in (InvalidRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, Unprocessable)
}


class QueenApi:
    """Not thread-safe, but for `stream`."""

    def __init__(self, queen: Queen) -> None:
        self.queen = queen
        self._session = open_session(queen.certificate)

    def get(self, path: str, **params: Any) -> Any:
        """Parameters that are None are left out."""
        return self._json("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._json("POST", path, json=body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._json("PUT", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._json("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        return self._json("DELETE", path)

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All items of a list with cursors."""
        cursor = None
        while True:
            page = self.get(path, **params, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def lines(self, path: str) -> Iterator[str]:
        """A text answer, as it comes."""
        with self._send("GET", path, stream=True) as response:
            response.encoding = "utf-8"
            try:
                yield from response.iter_lines(decode_unicode=True)
            except requests.RequestException as error:
                raise Unavailable("The queen's answer broke off.", hint="Try again.") from error

    def stream(self, path: str, last_id: int | None) -> requests.Response:
        """An open event stream, or a 204. In a session of its own: several may be read at once."""
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        return self._send(
            "GET",
            path,
            session=open_session(self.queen.certificate),
            headers=headers,
            stream=True,
            timeout=STREAM_TIMEOUT,
        )

    def _json(self, method: str, path: str, **more: Any) -> Any:
        response = self._send(method, path, **more)
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise self._stranger() from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        session: requests.Session | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> requests.Response:
        sent = {
            "Authorization": f"Bearer {self.queen.key}",
            "User-Agent": f"rbee/{version('rbee')}",
            **(headers or {}),
        }
        try:
            response = (session or self._session).request(
                method,
                self.queen.url + path,
                headers=sent,
                allow_redirects=False,
                **{"timeout": TIMEOUT, **more},
            )
        except requests.exceptions.SSLError as error:
            raise self._distrusted() from error
        except requests.RequestException as error:
            raise Unavailable(f"No queen answers at {self.queen.url}.", hint=self._whereabouts()) from error
        except UnicodeError as error:
            raise InvalidRequest("The queen's URL or key holds characters that cannot be sent.") from error
        if response.ok and not response.is_redirect:
            return response
        raise self._error(response)

    def _error(self, response: requests.Response) -> RbeeError:
        try:
            told = response.json()["error"]
            message, code = str(told["message"]), str(told["code"])
        except (ValueError, KeyError, TypeError):
            return self._stranger()
        more = {"code": code, "hint": told.get("hint"), "details": told.get("details")}
        if response.status_code == 429:
            return TooMany(message, retry_after=int(response.headers.get("Retry-After", "1")), **more)
        kind = Unavailable if response.status_code >= 502 else _BY_STATUS.get(response.status_code, RbeeError)
        return kind(message, **more)

    def _distrusted(self) -> RbeeError:
        if self.queen.certificate:
            return Unavailable(
                f"The certificate of {self.queen.url} is not the one that was pinned.",
                hint="Somebody may listen in. If it was renewed: log in, or join, again.",
            )
        return Unavailable(
            f"The certificate of {self.queen.url} is not trusted.",
            hint=f"If it is yours, pin it: rbee login {self.queen.url} --fingerprint SHA256",
        )

    def _stranger(self) -> RbeeError:
        return Unavailable(f"What answers at {self.queen.url} is no queen.", hint=self._whereabouts())

    def _whereabouts(self) -> str:
        if self.queen.local:
            return "Start it: rbee up. One elsewhere: rbee login URL"
        return "Is it up, and is the address right? Another one: rbee login URL"


def connect() -> QueenApi:
    """To the queen that the running command was told."""
    return QueenApi(queens.chosen(click.get_current_context()))
