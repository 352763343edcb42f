"""The clocks of the path. Seconds, unless a name says otherwise."""

HEARTBEAT = 5.0
HEARTBEAT_JITTER = 0.2
"""Share of HEARTBEAT by which each beat is moved at random."""
LEASE = 30.0
OFFLINE_AFTER = 15.0
"""A hive that has not been heard for this long is offline: nothing new is placed on it."""
RECONCILE = 5.0
RING_AGAIN = 30.0
"""A queued and unclaimed job is rung again at most this often."""
MESSAGE_EXPIRES = 3600
"""Life of a Celery message; a lost or expired one is rung again by the reconciler."""
MAX_LOSSES = 3
PROGRESS_INTERVAL = 0.25
"""At most one progress event of a job in this time."""
END_WITHOUT_NARRATION = 30.0
"""How long the end of a job waits for its last narrated line before it goes out with the gap stated."""
PING = 15.0
LIVE_CATCH_UP = 2.0
"""How often a web process reads the rows above its last event id, whatever pub/sub said."""
IDEMPOTENCY = 24 * 3600
PROTOCOL = 1
"""Version of the hive protocol; a hive of another version is not given work."""
