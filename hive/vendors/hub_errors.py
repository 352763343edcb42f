"""What a hub's refusals mean for a person: one sentence, what to do, and a stable code.

`repository_not_found` · `gated` · `unauthorized` · `revision_not_found` · `repository_disabled` ·
`invalid_model` · `hub_redirected` · `rate_limited` · `hub_unreachable` · `hub_unreadable` · `offline`
"""

from dataclasses import dataclass

import httpx2

from hive.vendors.hub_client import HubTrouble, host_of
from shared.errors import JobFailed


@dataclass(frozen=True)
class Asked:
    """What was asked for, for the sentence."""

    endpoint: str
    repo: str
    revision: str | None
    with_token: bool

    @property
    def host(self) -> str:
        return host_of(self.endpoint)


def as_job_failed(error: Exception, asked: Asked) -> JobFailed | None:
    """None for an error that is not the hub's."""
    from huggingface_hub import errors as hub

    match error:
        case JobFailed():
            return error
        case HubTrouble():
            return _trouble(error, asked)
        case hub.GatedRepoError():
            return gated(asked)
        case hub.HfHubHTTPError() if asked.with_token and error.response.status_code == 401:
            return unauthorized(asked)
        case hub.RevisionNotFoundError():
            return JobFailed(
                f"{asked.repo} has no revision {asked.revision}.",
                code="revision_not_found",
                hint="Name a branch, a tag or a full commit, or leave the revision out.",
            )
        case hub.RepositoryNotFoundError():
            return _not_found(asked)
        case hub.DisabledRepoError():
            return JobFailed(
                f"{asked.host} has disabled {asked.repo}.",
                code="repository_disabled",
                hint="Choose another model.",
            )
        case hub.OfflineModeIsEnabled():
            return offline(asked)
        case hub.LocalEntryNotFoundError():
            return _trouble(HubTrouble("cannot be reached"), asked)
        case hub.HFValidationError():
            return JobFailed(
                f"{asked.repo} is not a repository's name.", code="invalid_model", hint="Use org/repo."
            )
        case hub.HfHubHTTPError():
            return _by_status(error.response.status_code, asked)
        case httpx2.HTTPError() | ValueError() | KeyError() | TypeError() | AttributeError():
            return _unreadable(asked)
    return None


def gated(asked: Asked) -> JobFailed:
    page = f"{asked.endpoint}/{asked.repo}"
    then = "then try again" if asked.with_token else "then set that account's token as HF_TOKEN and try again"
    return JobFailed(
        f"{asked.repo} is gated: its terms must be accepted first.",
        code="gated",
        hint=f"Accept them at {page}, {then}.",
    )


def offline(asked: Asked) -> JobFailed:
    return JobFailed(
        f"This hive is set to offline mode, so {asked.host} is not asked for {asked.repo}.",
        code="offline",
        hint="Unset HF_HUB_OFFLINE on the hive.",
    )


def unauthorized(asked: Asked) -> JobFailed:
    return JobFailed(
        f"{asked.host} refuses the token it was shown for {asked.repo}.",
        code="unauthorized",
        hint="Store a valid HF_TOKEN that may read this repository, or remove it if the model is public.",
    )


def _not_found(asked: Asked) -> JobFailed:
    hint = "Check the spelling; if it is private, "
    hint += "its owner must let this token read it." if asked.with_token else "set a token as HF_TOKEN."
    return JobFailed(
        f"{asked.host} has no repository {asked.repo}, or it is private.",
        code="repository_not_found",
        hint=hint,
    )


def _by_status(status: int, asked: Asked) -> JobFailed:
    if status == 401:
        return unauthorized(asked) if asked.with_token else _not_found(asked)
    if status == 403:
        return unauthorized(asked)
    if status == 404:
        return _not_found(asked)
    return JobFailed(
        f"{asked.host} answers {status} when asked for {asked.repo}.",
        code="hub_unreadable",
        hint="Check HF_ENDPOINT, and try again later.",
    )


def _unreadable(asked: Asked) -> JobFailed:
    return JobFailed(
        f"{asked.host} does not answer like a Hugging Face hub when asked for {asked.repo}.",
        code="hub_unreadable",
        hint="Check HF_ENDPOINT and any proxy or log-in page in between.",
    )


def _trouble(trouble: HubTrouble, asked: Asked) -> JobFailed:
    if trouble.status == 429:
        return JobFailed(
            f"{asked.host} limits the rate of requests and did not answer for {asked.repo}.",
            code="rate_limited",
            hint="Try again in five minutes"
            + ("." if asked.with_token else "; a token (HF_TOKEN) raises the limit."),
        )
    return JobFailed(
        f"{asked.host} {trouble.told}, so the files of {asked.repo} are unknown.",
        code="hub_unreachable",
        hint="Check this hive's network and HF_ENDPOINT, then try again.",
    )
