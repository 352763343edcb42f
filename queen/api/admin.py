"""`/v1/join-tokens`, `/v1/keys`, `/v1/secrets`, `/v1/login-tokens`: for admins. A token is shown once, a secret never."""

import time
from typing import Any, Literal

from flask import Blueprint, request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import select

from queen import joining, keys
from queen.api.requests import accepts, body_as
from queen.certificate import certificate_fingerprint
from queen.guard import needs
from queen.job_view import iso
from queen.principals import Scope, new_login_token
from queen.rows import JoinToken
from queen.services import services
from shared.errors import NotFound

admin = Blueprint("admin", __name__, url_prefix="/v1")


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    scopes: list[Literal["admin", "operate", "inference"]] = Field(min_length=1)


class SecretValue(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: str = Field(min_length=1, max_length=4096)


@admin.post("/join-tokens")
@needs(Scope.ADMIN)
def create_join_token() -> tuple[dict[str, Any], int]:
    """Make a one-time join token, good for an hour. `token` also carries the queen's URL and certificate."""
    settings = services().settings
    url = (settings.queen_url or request.host_url).rstrip("/")
    with services().database.write() as tx:
        row, token = joining.new_join_token(
            tx, queen_url=url, certificate=certificate_fingerprint(settings.tls_cert)
        )
    command = f"rbee hive join {url} {token}"
    return {
        "id": row.id,
        "token": token,
        "url": url,
        "command": command,
        "expires_at": iso(row.expires_at),
    }, 201


@admin.get("/join-tokens")
@needs(Scope.ADMIN)
def list_join_tokens() -> dict[str, Any]:
    """List join tokens that are still good, without their text."""
    with services().database.read() as session:
        rows = [
            row
            for row in session.exec(select(JoinToken))
            if row.used_at is None and row.expires_at > time.time()
        ]
    items = [
        {"id": row.id, "created_at": iso(row.created_at), "expires_at": iso(row.expires_at)} for row in rows
    ]
    return {"items": items}


@admin.delete("/join-tokens/<token_id>")
@needs(Scope.ADMIN)
def revoke_join_token(token_id: str) -> tuple[str, int]:
    """Revoke a join token."""
    with services().database.write() as tx:
        row = tx.session.get(JoinToken, token_id)
        if row is None:
            raise NotFound("There is no such join token.")
        tx.session.delete(row)
    return "", 204


@admin.post("/login-tokens")
@needs(Scope.ADMIN)
def create_login_token() -> tuple[dict[str, Any], int]:
    """Make a one-time login link for a browser."""
    with services().database.write() as tx:
        token = new_login_token(tx)
    url = (services().settings.queen_url or request.host_url).rstrip("/")
    return {"url": f"{url}/login?token={token}"}, 201


@admin.post("/keys")
@needs(Scope.ADMIN)
@accepts(NewKey)
def create_key() -> tuple[dict[str, Any], int]:
    """Make an API key; its text is shown this once."""
    wanted = body_as(NewKey)
    with services().database.write() as tx:
        row, token = keys.create(tx, wanted.name, wanted.scopes)
    return {**keys.key_view(row), "token": token}, 201


@admin.get("/keys")
@needs(Scope.ADMIN)
def list_keys() -> dict[str, Any]:
    """List API keys by fingerprint."""
    with services().database.read() as session:
        return {"items": [keys.key_view(row) for row in keys.every(session)]}


@admin.delete("/keys/<key_id>")
@needs(Scope.ADMIN)
def revoke_key(key_id: str) -> tuple[str, int]:
    """Revoke an API key."""
    with services().database.write() as tx:
        keys.revoke(tx, key_id)
    services().principals.forget()
    return "", 204


@admin.get("/secrets")
@needs(Scope.ADMIN)
def list_secrets() -> dict[str, Any]:
    """Which secrets are set; never their values."""
    with services().database.read() as session:
        return {"items": services().vault.describe(session)}


@admin.put("/secrets/<name>")
@needs(Scope.ADMIN)
@accepts(SecretValue)
def put_secret(name: str) -> tuple[str, int]:
    """Store a secret, encrypted."""
    value = body_as(SecretValue).value
    with services().database.write() as tx:
        services().vault.put(tx, name, value)
    return "", 204


@admin.delete("/secrets/<name>")
@needs(Scope.ADMIN)
def remove_secret(name: str) -> tuple[str, int]:
    """Remove a stored secret."""
    with services().database.write() as tx:
        if not services().vault.remove(tx, name):
            raise NotFound("This secret is not stored.")
    return "", 204
