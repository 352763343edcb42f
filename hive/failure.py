"""What a failed attempt says last."""

import errno

from hive.download.part import storage_failed
from shared.errors import JobFailed, RbeeError


def explained(error: Exception) -> JobFailed:
    """What no domain function foresaw; a disk that another program fills can fail any step."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return storage_failed(error)
    return JobFailed(
        "The hive met an error it does not know.", code="internal", hint="The hive's log says more."
    )


def last_line(error: RbeeError) -> str:
    """The outcome and the next step in one line."""
    return f"{error.message} {error.hint}" if error.hint else error.message
