"""What exists before the processes start: the tables and the admin token."""

import secrets
from pathlib import Path

from alembic import command
from alembic.config import Config

from queen.settings import QueenSettings
from queen.vault import private_file


def migrate(settings: QueenSettings) -> None:
    """Brings the tables to this version. Run once, before the processes start."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = settings.database_url
    command.upgrade(config, "head")


def admin_token(settings: QueenSettings) -> str:
    """The given token, or the generated one in its 0600 file."""
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    path = settings.queen_dir / "admin.token"
    return private_file(path, _new_admin_token).decode().strip()


def _new_admin_token() -> bytes:
    return f"rbee_admin_{secrets.token_urlsafe(32)}".encode()
