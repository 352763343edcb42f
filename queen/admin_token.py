"""The admin's token: given by a setting, or generated once into a file that only its owner reads."""

import secrets

from queen.settings import QueenSettings
from queen.vault import private_file


def admin_token(settings: QueenSettings) -> str:
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    return private_file(settings.queen_dir / "admin.token", _generate).decode().strip()


def _generate() -> bytes:
    return f"rbee_admin_{secrets.token_urlsafe(32)}".encode()
