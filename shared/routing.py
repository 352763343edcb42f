"""Names on the broker: queues, streams, channels, tasks. One place, so that the ACL and the code cannot drift apart."""

CAPABILITIES = ("cuda", "metal", "cpu")
"""What a hive can do, best first; also the names of the shared queues."""

LIVE_CHANNEL = "rbee:live"
"""Committed events and progress, from the recorder and the web processes to every web process."""


def hive_queue(hive_id: str) -> str:
    return f"hive.{hive_id}"


def narration_stream(hive_id: str) -> str:
    return f"rbee:narration:{hive_id}"


def control_channel(hive_id: str) -> str:
    return f"rbee:control:{hive_id}"


def task_name(operation: str) -> str:
    return f"rbee.{operation}"
