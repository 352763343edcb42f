"""What the queen can be told; `shared/settings.py` says where the values come from."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, FilePath, SecretStr, model_validator

from shared.settings import Port, Settings

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def _database_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _DRIVERS:
        return f"{_DRIVERS[scheme]}://{rest}"
    if scheme != "sqlite" or not separator:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return url


def _redis_url(url: str) -> str:
    if not url.startswith(("redis://", "rediss://")):
        raise ValueError("must begin with redis:// or rediss://")
    return url


def _admin_token(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < 16:
        raise ValueError("must have at least 16 characters")
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class QueenSettings(Settings):
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 7835
    catalog_port: Port = 8502
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    admin_token: Annotated[SecretStr, AfterValidator(_admin_token)] | None = None
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default_factory=lambda known: f"sqlite:///{known['data_dir'] / 'queen' / 'rbee.sqlite3'}", repr=False
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = Field(default=None, repr=False)
    """Given: no broker is started. `queen.broker_server.broker_url` is what programs connect to."""
    broker_host: str = Field(default="127.0.0.1", min_length=1)
    broker_port: Port = 0
    queen_url: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+/?$")
    """How browsers and hives reach this queen, where that is not the address it listens on."""
    catalog: str | None = None
    retention_days: float = Field(default=30, gt=0)
    retention_jobs: int = Field(default=100_000, ge=1)

    @property
    def queen_dir(self) -> Path:
        return self.data_dir / "queen"

    def secrets(self) -> dict[str, str]:
        """Tokens that the environment gave, by their names; they reach a hive only inside a claim."""
        given = {
            "HF_TOKEN": self.hf_token,
            "CIVITAI_API_TOKEN": self.civitai_api_token,
            "RBEE_LICENSE_KEY": self.license_key,
            "RBEE_TOKEN": self.token,
        }
        return {name: value.get_secret_value() for name, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _safe_to_start(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("RBEE_TLS_CERT and RBEE_TLS_KEY belong together: set both or neither")
        if not (is_loopback(self.host) or self.tls_cert or self.insecure):
            raise ValueError(
                f"RBEE_HOST={self.host} is reachable from other machines without TLS:"
                " set RBEE_TLS_CERT and RBEE_TLS_KEY, or RBEE_INSECURE=1 to accept tokens in the clear"
            )
        if not (is_loopback(self.broker_host) or self.redis_url or self.insecure):
            raise ValueError(
                f"RBEE_BROKER_HOST={self.broker_host} is reachable from other machines"
                " and the built-in broker has no TLS:"
                " use a tunnel, or RBEE_REDIS_URL with a rediss:// server,"
                " or RBEE_INSECURE=1 to accept passwords in the clear"
            )
        return self
