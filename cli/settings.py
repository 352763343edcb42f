"""What the client commands can be told; `shared/settings.py` says where the values come from."""

from pathlib import Path

from pydantic import Field, SecretStr

from shared.settings import Port, Settings


class ClientSettings(Settings):
    """The queen's own settings where they say how to reach it; unchecked here, for the queen checks them."""

    host: str = "127.0.0.1"
    port: Port = 7835
    tls_cert: Path | None = None
    admin_token: SecretStr | None = None
    queen_url: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+/?$")

    @property
    def queen_dir(self) -> Path:
        return self.data_dir / "queen"
