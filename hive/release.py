"""A hive's word that it cannot do a job, though another might."""

from shared.errors import RbeeError


class ReleaseJob(RbeeError):
    """Ends the attempt without counting a loss, and keeps the job away from this hive."""

    code = "released"
