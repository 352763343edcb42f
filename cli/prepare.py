"""What `rbee up` does before its processes start, in a process of its own so that the supervisor stays small.

Migrates the database, gives the local hive and the queen worker their identities, and prints a one-time login link as JSON.
"""

import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from cli import address
from cli.address import Address
from hive import identity
from hive.identity import Identity
from hive.main import describe_machine
from hive.operations import OPERATIONS
from hive.settings import HiveSettings
from queen import joining
from queen.admin_token import admin_token
from queen.broker_acl import hive_user
from queen.broker_server import broker_url, url_of_user
from queen.certificate import certificate_fingerprint
from queen.database import Database
from queen.migration import migrate
from queen.principals import new_login_token
from queen.rows import Hive
from queen.settings import QueenSettings, is_loopback
from shared.errors import RbeeError, SettingsError
from shared.protocol import HiveFacts, JoinRequest
from shared.timing import PROTOCOL


def prepare(queen: QueenSettings, hive: HiveSettings, *, without_hive: bool = False) -> dict[str, str]:
    """Idempotent; `{"login_url", "url"}`."""
    migrate(queen)
    admin_token(queen)
    database = Database(queen.database_url)
    try:
        facts = describe_machine(hive, queen.data_dir, operations=sorted(OPERATIONS))
        name = hive.hive_name or facts.hostname or "this machine"
        worker = queen.queen_dir / "worker"
        _join(queen, database, worker, kind="queen", name="queen", facts=facts.model_copy(update=_NO_WORK))
        if not without_hive:
            _join(queen, database, hive.hive_dir, kind="hive", name=name[:64], facts=facts)
        with database.write() as tx:
            token = new_login_token(tx)
    finally:
        database.close()
    address.store(queen.queen_dir, Address(local_url(queen), certificate_fingerprint(queen.tls_cert)))
    url = public_url(queen)
    return {"url": url, "login_url": f"{url}/login?token={token}"}


def public_url(settings: QueenSettings) -> str:
    """What to type into a browser on this machine."""
    return (settings.queen_url or local_url(settings)).rstrip("/")


def local_url(settings: QueenSettings) -> str:
    """How processes beside the queen reach it."""
    return address.local_url(settings.host, settings.port, tls=settings.tls_cert is not None)


_NO_WORK: dict[str, list[str]] = {"operations": [], "capabilities": [], "devices": []}


def _join(
    settings: QueenSettings, database: Database, folder: Path, *, kind: str, name: str, facts: HiveFacts
) -> None:
    """Registers the member once; later only its addresses are refreshed, as ports may have changed."""
    known = _known(folder)
    with database.read() as session:
        member = session.get(Hive, known.id) if known else None
    if known and member is None and known.queen_url != local_url(settings) and not _is_here(known.queen_url):
        raise SettingsError(
            f"this machine is the hive {known.name} of {known.queen_url}",
            hint="Start it: rbee hive run. A queen beside it: rbee up --no-hive, or another --data-dir.",
        )
    if known is None or member is None or member.removed_at is not None:
        request = JoinRequest(token="", name=name, protocol=PROTOCOL, facts=facts)
        with database.write() as tx:
            made = joining.register(tx, request, kind=kind, now=time.time())
        known = Identity(
            made.hive.id, name, kind, made.token, "", f"//{hive_user(made.hive.id)}:{made.broker_password}@"
        )
    password = known.broker_url.rsplit("@", 1)[0].rsplit(":", 1)[1]
    known = Identity(
        id=known.id,
        name=known.name,
        kind=kind,
        token=known.token,
        queen_url=local_url(settings),
        broker_url=url_of_user(broker_url(settings), hive_user(known.id), password),
        certificate=certificate_fingerprint(settings.tls_cert),
    )
    identity.store(folder, known)


def _is_here(url: str) -> bool:
    """Whether the URL leads to this machine, so that an identity for it may be one of ours."""
    return is_loopback(urlsplit(url).hostname or "")


def _known(folder: Path) -> Identity | None:
    try:
        return identity.load(folder)
    except SettingsError:
        return None


def main() -> int:
    try:
        without_hive = "--no-hive" in sys.argv[1:]
        links = prepare(QueenSettings.load(), HiveSettings.load(), without_hive=without_hive)
    except RbeeError as error:
        print(f"rbee: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"      {error.hint}", file=sys.stderr)
        return 2
    print(json.dumps(links))
    return 0


if __name__ == "__main__":
    sys.exit(main())
