"""Brings the tables to this version: run once, before the processes start."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from queen.settings import QueenSettings


def migrate(settings: QueenSettings) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = settings.database_url
    command.upgrade(config, "head")
