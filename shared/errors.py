"""Errors that reach a person or a client.

::

    RbeeError                500  internal
    ├── InvalidRequest       400  invalid_request
    ├── Unauthorized         401  unauthorized
    ├── Forbidden            403  forbidden
    ├── NotFound             404  not_found
    ├── Conflict             409  conflict
    ├── TooLarge             413  too_large
    ├── Unprocessable        422  unprocessable
    ├── TooMany              429  too_many_requests
    ├── Unavailable          503  unavailable
    ├── JobFailed            ---  its own code: a job's end, told in one sentence with what to do
    └── SettingsError        ---  a bad or unknown setting; stops the start
"""

from collections.abc import Sequence
from typing import Any


class RbeeError(Exception):
    """`message` says what happened, `hint` what to do; neither holds a secret, a path or the bad input."""

    status = 500
    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        details: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.hint = hint
        self.details = list(details) if details is not None else None

    def as_dict(self) -> dict[str, Any]:
        """The inside of the `error` object of every answer and of a job: code, message, details?, hint?."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            body["details"] = self.details
        if self.hint:
            body["hint"] = self.hint
        return body


class InvalidRequest(RbeeError):
    status = 400
    code = "invalid_request"


class Unauthorized(RbeeError):
    status = 401
    code = "unauthorized"


class Forbidden(RbeeError):
    status = 403
    code = "forbidden"


class NotFound(RbeeError):
    status = 404
    code = "not_found"


class Conflict(RbeeError):
    status = 409
    code = "conflict"


class TooLarge(RbeeError):
    status = 413
    code = "too_large"


class Unprocessable(RbeeError):
    status = 422
    code = "unprocessable"


class TooMany(RbeeError):
    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: int, **more: Any) -> None:
        super().__init__(message, **more)
        self.retry_after = retry_after


class Unavailable(RbeeError):
    status = 503
    code = "unavailable"


class JobFailed(RbeeError):
    """Ends a job as failed. The code is a stable word for scripts, such as `not_found`, `gated`, `disk_full`."""

    code = "failed"


class SettingsError(RbeeError):
    code = "settings"
