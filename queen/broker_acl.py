"""What a hive may do on the broker: take from its queues, add to its narration, hear its control channel.

It may not even put a message into a queue. A capability queue is shared: any hive of it can take a message
there, which is why a message holds a job's id and nothing else, and the claim decides.
"""

import hashlib
from collections.abc import Iterable

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from shared.errors import SettingsError
from shared.routing import control_channel, hive_queue, narration_stream

COMMANDS = (
    "hello",
    "auth",
    "ping",
    "select",
    "client|setname",
    "client|setinfo",
    "brpop",
    "xadd",
    "subscribe",
    "unsubscribe",
)

PRIORITY_SUFFIX = "\x06\x16"
"""kombu keeps the priorities of a queue in lists of their own: its name, this, and 3, 6 or 9."""


def hive_user(hive_id: str) -> str:
    return f"hive-{hive_id}"


def password_sha256(password: str) -> str:
    """What the queen keeps instead of the password, in the form that ACL SETUSER takes."""
    return hashlib.sha256(password.encode()).hexdigest()


def hive_rules(hive_id: str, capabilities: Iterable[str], password_sha256: str) -> list[str]:
    """The words after `ACL SETUSER hive-<id>`. They say all of it: nothing from before stays."""
    queues = [hive_queue(hive_id), *capabilities]
    return [
        "reset",
        "resetchannels",
        "on",
        f"#{password_sha256}",
        *(f"~{queue}{suffix}" for queue in queues for suffix in _priority_suffixes()),
        f"%W~{narration_stream(hive_id)}",
        f"&{control_channel(hive_id)}",
        "-@all",
        *(f"+{command}" for command in COMMANDS),
    ]


def apply(client: Redis, hive_id: str, capabilities: Iterable[str], password_sha256: str) -> None:
    """Makes or replaces the hive's user; its connections stay. Call `save` after the last one.

    Raises SettingsError when the queen's own broker user may not do so.
    """
    rules = hive_rules(hive_id, capabilities, password_sha256)
    try:
        client.execute_command("ACL SETUSER", hive_user(hive_id), *rules)  # type: ignore[no-untyped-call]
    except NoPermissionError as error:
        raise SettingsError("RBEE_REDIS_URL: its user must be allowed the ACL commands") from error


def remove(client: Redis, hive_id: str) -> None:
    """Ends the hive's user, its connections and its queue."""
    client.acl_deluser(hive_user(hive_id))
    client.delete(*(hive_queue(hive_id) + suffix for suffix in _priority_suffixes()))
    save(client)


def save(client: Redis) -> None:
    """Writes the users to the broker's ACL file, so that hives can log in the moment it is started again.

    A broker of yours may keep no such file; then the queen applies its users again after a restart.
    """
    try:
        client.acl_save()
    except ResponseError as error:
        if "not configured to use an ACL file" not in str(error):
            raise


def _priority_suffixes() -> tuple[str, ...]:
    return ("", *(f"{PRIORITY_SUFFIX}{step}" for step in (3, 6, 9)))
