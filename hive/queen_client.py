"""The queen's HTTP API as a hive uses it: pinned certificate, explicit timeouts, errors by name."""

import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from hive.identity import Identity
from shared.errors import Conflict, RbeeError, Unavailable
from shared.protocol import ClaimRequest, Grant, Heartbeat, HeartbeatAnswer, OutcomeReport, PlanReport

TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for an answer."""


class PinnedAdapter(HTTPAdapter):
    """Trusts one certificate, by its SHA-256, instead of authorities."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def build_connection_pool_key_attributes(self, *args: Any, **more: Any) -> Any:
        """What the connection is made with: authorities are not asked, the fingerprint decides."""
        host, pool = super().build_connection_pool_key_attributes(*args, **more)
        return host, {**pool, "cert_reqs": "CERT_NONE", "assert_fingerprint": self._fingerprint}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Left to the fingerprint."""


def open_session(certificate: str | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    if certificate:
        session.mount("https://", PinnedAdapter(certificate))
    return session


class QueenClient:
    """Thread-safe: a session a thread, so that a slow answer holds up nobody else."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._local = threading.local()

    def claim(self, request: ClaimRequest) -> list[Grant]:
        """Raises Conflict when the job may not be had, Unavailable when the queen does not answer."""
        answer = self._send(
            "POST", f"/v1/hives/{self._identity.id}/claims", request.model_dump(exclude_none=True)
        )
        granted = answer["grants"] if request.job_id is None else [answer]
        return [Grant.model_validate(grant) for grant in granted]

    def heartbeat(self, beat: Heartbeat) -> HeartbeatAnswer:
        body = beat.model_dump(mode="json", exclude_none=True)
        return HeartbeatAnswer.model_validate(
            self._send("POST", f"/v1/hives/{self._identity.id}/heartbeat", body)
        )

    def store_plan(self, job_id: str, attempt: int, report: PlanReport) -> None:
        self._send(
            "PUT",
            f"/v1/jobs/{job_id}/attempts/{attempt}/plan",
            report.model_dump(mode="json", exclude_none=True),
        )

    def finish(self, job_id: str, attempt: int, report: OutcomeReport) -> list[Grant]:
        """Answers with what `report.next` was granted. Raises Conflict when the attempt is not ours any more."""
        body = report.model_dump(mode="json", exclude_none=True)
        answer = self._send("PUT", f"/v1/jobs/{job_id}/attempts/{attempt}", body)
        return [Grant.model_validate(grant) for grant in answer.get("grants", ())]

    def _send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        try:
            response = self._session().request(
                method,
                self._identity.queen_url + path,
                json=body,
                timeout=TIMEOUT,
                allow_redirects=False,
                headers={"Authorization": f"Bearer {self._identity.token}"},
            )
            answer = response.json() if response.content else {}
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(f"The queen does not answer ({type(error).__name__}).") from error
        if response.ok:
            return answer
        raise _as_error(response.status_code, answer)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = open_session(self._identity.certificate)
        session: requests.Session = self._local.session
        return session


def _as_error(status: int, answer: Any) -> RbeeError:
    told = answer.get("error") if isinstance(answer, dict) else None
    told = told if isinstance(told, dict) else {}
    message = str(told.get("message", f"The queen answered {status}."))
    code = str(told.get("code", "http_error"))
    if status >= 500 or status == 429:
        return Unavailable(message, code=code)
    error = (
        Conflict(message, code=code, details=told.get("details"))
        if status == 409
        else RbeeError(message, code=code)
    )
    error.status = status
    return error
