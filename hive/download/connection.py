"""One HTTP/1.1 connection to a checked address, over a socket of our own that the lifeline can cut."""

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache

from hive.download.answer import Answer
from hive.download.faults import Interrupted
from hive.download.lifeline import Lifeline, hang_up
from hive.download.origins import Address, Target
from hive.download.proxies import Proxy, proxy_for
from shared.errors import JobFailed

CONNECT_TIMEOUT = 15.0
"""Seconds for one address."""
_LEFTOVER = 64 << 10
"""Bytes of an unwanted body that are cheaper to read than a new connection."""
_LOST = (OSError, http.client.HTTPException, ValueError)


class NetBody:
    """The body of an HTTP answer, read without a copy: by length, by chunks, or until the host hangs up."""

    def __init__(self, response: http.client.HTTPResponse, host: str) -> None:
        self._response = response
        self._host = host
        self._chunked = bool(response.chunked)
        self.length = None if self._chunked else response.length
        self._left = self.length
        self.ended = self.length == 0

    def readinto(self, view: memoryview) -> int:
        if self.ended:
            return 0
        try:
            count = self._read_chunk(view) if self._chunked else self._read_plain(view)
        except TimeoutError as error:
            raise Interrupted(f"{self._host} sends nothing any more") from error
        except _LOST as error:
            raise Interrupted(f"the connection to {self._host} broke") from error
        if count == 0:
            if self._left:
                raise Interrupted(f"{self._host} hung up early")
            self.ended = True
        return count

    def _read_plain(self, view: memoryview) -> int:
        if self._left is not None:
            view = view[: self._left]
        count: int = self._response.fp.readinto1(view)
        if self._left is not None:
            self._left -= count
            self.ended = self._left == 0
        return count

    def _read_chunk(self, view: memoryview) -> int:
        data = self._response.read1(len(view))
        view[: len(data)] = data
        return len(data)


class Connection:
    """Opened by the first request; used again while the host keeps it open."""

    def __init__(self, target: Target, lifeline: Lifeline, *, stall_timeout: float) -> None:
        self.place = target.place
        self._target = target
        self._lifeline = lifeline
        self._stall_timeout = stall_timeout
        self._proxy = proxy_for(target.scheme, target.host) if not target.private else None
        self._sock: socket.socket | None = None
        self._http: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._body: NetBody | None = None

    def get(self, target: Target, headers: Mapping[str, str]) -> Answer:
        """Answers when the headers are here. A kept connection that died meanwhile is opened anew."""
        if not self._finish_last():
            self.close()
        if self._sock is not None:
            with suppress(Interrupted):
                return self._ask(target, headers)
            self.close()
        self._open()
        return self._ask(target, headers)

    def abort(self) -> None:
        """From any thread: whoever reads wakes with an error and closes the connection."""
        if (sock := self._sock) is not None:
            hang_up(sock)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        if self._sock is not None:
            self._lifeline.close(self._sock)
        self._sock = self._http = self._response = self._body = None

    def _ask(self, target: Target, headers: Mapping[str, str]) -> Answer:
        assert self._http is not None
        self._lifeline.check()
        host = f"[{target.host}]" if ":" in target.host else target.host
        default = target.port == (443 if target.scheme == "https" else 80)
        sent = {
            "Host": host if default else f"{host}:{target.port}",
            "Accept-Encoding": "identity",
            **headers,
        }
        path = target.path
        if self._proxy and target.scheme == "http":
            path = f"http://{sent['Host']}{target.path}"
            sent |= _login(self._proxy)
        try:
            self._http.request("GET", path, headers=sent)
            self._response = self._http.getresponse()
        except TimeoutError as error:
            raise Interrupted(f"{target.host} does not answer") from error
        except _LOST as error:
            self._lifeline.check()
            raise Interrupted(f"the connection to {target.host} broke") from error
        self._body = NetBody(self._response, target.host)
        return Answer(self._response.status, self._response.headers, self._body, target.host)

    def _finish_last(self) -> bool:
        """Reads the short rest of the last answer; False when the connection cannot be used again."""
        response, body, self._response, self._body = self._response, self._body, None, None
        if response is None or body is None:
            return self._sock is not None
        reusable = not response.will_close and (body.ended or _swallowed(body))
        response.close()
        return reusable

    def _open(self) -> None:
        sock = self._connect()
        if self._target.scheme == "https":
            try:
                if self._proxy:
                    _tunnel(sock, self._target, self._proxy)
                sock = self._secure(sock)
            except TimeoutError as error:
                self._lifeline.close(sock)
                raise Interrupted(f"{self._target.host} does not finish the TLS handshake") from error
            except (OSError, Interrupted) as error:
                self._lifeline.close(sock)
                raise _unsafe(self._target.host, error) from error
        sock.settimeout(self._stall_timeout)
        self._sock = sock
        self._http = http.client.HTTPConnection(self._target.host, self._target.port)
        self._http.auto_open = 0
        self._http.sock = sock

    def _secure(self, sock: socket.socket) -> socket.socket:
        secure = trust().wrap_socket(sock, server_hostname=self._target.host, do_handshake_on_connect=False)
        self._lifeline.swap(sock, secure)
        try:
            secure.do_handshake()
        except BaseException:
            self._lifeline.close(secure)
            raise
        return secure

    def _connect(self) -> socket.socket:
        """The first address that answers."""
        reason: OSError | None = None
        for family, address in self._addresses():
            self._lifeline.check()
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                reason = error
                continue
            self._lifeline.hold(sock)
            try:
                sock.settimeout(min(CONNECT_TIMEOUT, self._stall_timeout))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError as error:
                self._lifeline.close(sock)
                reason = error
        self._lifeline.check()
        words = (reason.strerror or "no answer").lower() if reason else "it has no address"
        raise Interrupted(f"{self._target.host} cannot be reached ({words})") from reason

    def _addresses(self) -> Sequence[Address]:
        proxy = self._proxy
        return self._lifeline.call(lambda: _proxy_addresses(proxy)) if proxy else self._target.addresses


@cache
def trust() -> ssl.SSLContext:
    """Reading the system's authorities takes tens of milliseconds, so it is done once."""
    return ssl.create_default_context()


def _swallowed(body: NetBody) -> bool:
    """Whether the rest of the body is short and now read."""
    if body.length is None or body.length > _LEFTOVER:
        return False
    view = memoryview(bytearray(_LEFTOVER))
    try:
        while body.readinto(view):
            pass
    except Interrupted:
        return False
    return True


def _proxy_addresses(proxy: Proxy) -> list[Address]:
    try:
        found = socket.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Interrupted(f"the name of the proxy {proxy.host} does not resolve") from error
    return [(family, address) for family, _, _, _, address in found]


def _login(proxy: Proxy) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def _tunnel(sock: socket.socket, target: Target, proxy: Proxy) -> None:
    """RFC 9110 §9.3.6; read byte by byte, so that nothing of the TLS handshake is swallowed."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [f"CONNECT {host}:{target.port} HTTP/1.1", f"Host: {host}:{target.port}"]
    lines += [f"{name}: {value}" for name, value in _login(proxy).items()]
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte or len(head) > 16384:
            raise Interrupted("the proxy breaks off")
        head += byte
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise Interrupted(f"the proxy refuses a tunnel to {target.host}")


def _unsafe(host: str, error: Exception) -> Exception:
    if isinstance(error, ssl.SSLCertVerificationError):
        return JobFailed(
            f"{host} shows a certificate that cannot be trusted: {error.verify_message}.",
            code="bad_certificate",
            hint="Check this machine's clock and the host's address; install a private authority.",
        )
    if isinstance(error, Interrupted):
        return error
    return Interrupted(f"no secure connection to {host}")
