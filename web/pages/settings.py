"""Settings: secrets, which are never shown, and API keys, which are shown once."""

from importlib.metadata import version

from flask import Blueprint, Response, request
from pydantic import ValidationError
from werkzeug.wrappers import Response as AnyResponse

from queen import keys
from queen.api.admin import NewKey
from queen.guard import needs
from queen.principals import Scope
from queen.services import services
from shared.errors import InvalidRequest, NotFound
from web.asking import field, go, page

settings_pages = Blueprint("settings_pages", __name__)

SECRETS = {
    "HF_TOKEN": "Hugging Face: gated and private models.",
    "CIVITAI_API_TOKEN": "CivitAI: models that need an account.",
    "RBEE_LICENSE_KEY": "Premium worker packages.",
    "RBEE_TOKEN": "Sources of premium worker packages.",
}


@settings_pages.get("/settings")
@needs(Scope.ADMIN)
def show() -> Response:
    return _settings()


@settings_pages.post("/settings/secrets/<name>")
@needs(Scope.ADMIN)
def put_secret(name: str) -> AnyResponse:
    try:
        with services().database.write() as tx:
            services().vault.put(tx, name, field("value"))
    except InvalidRequest:
        return _settings(400, problems={name: "Paste the token alone: one word without blanks."})
    return go("/settings#secrets")


@settings_pages.post("/settings/secrets/<name>/removals")
@needs(Scope.ADMIN)
def remove_secret(name: str) -> AnyResponse:
    with services().database.write() as tx:
        if not services().vault.remove(tx, name):
            raise NotFound("This secret is not stored.")
    return go("/settings#secrets")


@settings_pages.post("/settings/keys")
@needs(Scope.ADMIN)
def create_key() -> AnyResponse:
    """The key is shown in this answer and never again."""
    try:
        wanted = NewKey(name=field("name"), scopes=request.form.getlist("scope"))
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors(include_input=False)}
        words = {"name": "Give it a name of 1 to 64 characters.", "scopes": "Choose what it may do."}
        return _settings(400, problems={f"key-{name}": words.get(name, "") for name in wrong})
    with services().database.write() as tx:
        key, token = keys.create(tx, wanted.name, wanted.scopes)
    return _settings(201, new_key=token, new_key_name=key.name)


@settings_pages.post("/settings/keys/<key_id>/revocations")
@needs(Scope.ADMIN)
def revoke_key(key_id: str) -> AnyResponse:
    with services().database.write() as tx:
        keys.revoke(tx, key_id)
    services().principals.forget()
    return go("/settings#keys")


def _settings(
    status: int = 200,
    problems: dict[str, str] | None = None,
    new_key: str | None = None,
    new_key_name: str = "",
) -> Response:
    with services().database.read() as session:
        return page(
            "settings.html",
            status,
            secrets=services().vault.describe(session),
            words=SECRETS,
            keys=[keys.key_view(key) for key in keys.every(session)],
            problems=problems or {},
            new_key=new_key,
            new_key_name=new_key_name,
            typed=field("name") if problems else "",
            version=version("rbee"),
        )
