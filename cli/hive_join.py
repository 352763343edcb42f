"""Joins this machine to a queen: the token is checked, the queen's certificate pinned, the identity stored."""

import json
import platform
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from pathlib import Path

from cli.queen_api import QueenApi
from cli.queens import Queen, checked
from hive import identity
from hive.identity import Identity
from hive.main import describe_machine
from hive.operations import OPERATIONS
from hive.settings import HiveSettings
from shared.errors import Conflict, InvalidRequest, SettingsError
from shared.protocol import JoinAnswer, JoinRequest
from shared.timing import PROTOCOL

NAME = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True)
class JoinToken:
    """What the text of a token carries: where the queen is, the SHA-256 of its certificate, and the secret."""

    url: str
    certificate: str | None
    secret: str


def join(url: str, token: str, *, name: str | None, force: bool) -> tuple[Identity, Path]:
    """The new identity and its folder. Raises Conflict when this machine has one, unless `force`."""
    settings = HiveSettings.load()
    folder = settings.hive_dir
    if not force and (known := _known(folder)):
        raise Conflict(
            f"This machine is already the hive {known.name} of {known.queen_url}.",
            hint="Start it: rbee hive run. To join another queen instead: --force, or another --data-dir.",
        )
    carried = decoded(token)
    queen = agreed(checked(url), carried)
    request = JoinRequest(
        token=carried.secret,
        name=_name(name or settings.hive_name),
        protocol=PROTOCOL,
        facts=describe_machine(settings, settings.data_dir, operations=sorted(OPERATIONS)),
    )
    answer = JoinAnswer.model_validate(QueenApi(queen).post("/v1/hives", request.model_dump(mode="json")))
    found = Identity(
        id=answer.id,
        name=answer.name,
        kind=answer.kind,
        token=answer.token,
        queen_url=queen.url,
        broker_url=answer.broker_url,
        certificate=queen.certificate,
    )
    identity.store(folder, found)
    return found, folder


def decoded(token: str) -> JoinToken:
    """Raises InvalidRequest."""
    try:
        body = json.loads(urlsafe_b64decode(token.strip() + "=" * (-len(token.strip()) % 4)))
        return JoinToken(str(body["url"]), body["fingerprint"], str(body["token"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            "This is no join token, or not the whole of it.", hint="Make one on the queen: rbee hive token"
        ) from error


def agreed(url: str, carried: JoinToken) -> Queen:
    """A certificate proves who answers at any address; without one only the token's own address will do."""
    if carried.certificate and url.startswith("https://"):
        return Queen(url, carried.secret, carried.certificate)
    if url != carried.url.rstrip("/"):
        raise InvalidRequest(
            f"The token is for {carried.url}, not for {url}.",
            hint="Join there; or let the queen be told its address, RBEE_QUEEN_URL, and make a new token.",
        )
    return Queen(url, carried.secret, carried.certificate)


def _name(given: str | None) -> str:
    if given is not None and not NAME.fullmatch(given):
        raise SettingsError("the name of a hive is made of letters, digits, blanks, . _ and -, 64 at most")
    found = given or NAME.match(platform.node())
    if found is None:
        return "hive"
    return found if isinstance(found, str) else found[0]


def _known(folder: Path) -> Identity | None:
    try:
        return identity.load(folder)
    except SettingsError:
        return None
