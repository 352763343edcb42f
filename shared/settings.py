"""Settings: what every program reads the same way, once, at its edge.

A value comes from the first of these that has it: a flag, the environment, the file, the default. The file is
TOML with lower-case names (`port = 7835` is `RBEE_PORT`). It is the one that `RBEE_CONFIG` names, else
`rbee.toml` in the data folder, else `rbee.toml` in the current folder; files are never merged. An unknown
name in the file or an unknown `RBEE_*` in the environment stops the start: a slip must not pass in silence.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.errors import SettingsError

PREFIX = "RBEE_"

NAMES: dict[str, str] = {
    "RBEE_CONFIG": "the settings file, instead of the two places where rbee.toml is looked for",
    "RBEE_DATA_DIR": "folder of everything rbee keeps",
    "RBEE_LOG_LEVEL": "debug, info, warning or error",
    "RBEE_INSECURE": "1 allows an address other machines reach without TLS",
    "RBEE_HTTP_HOSTS": "hosts (host or host:port, comma separated) that may be plain http and private",
    "RBEE_HOST": "address the web server listens on",
    "RBEE_PORT": "its port",
    "RBEE_CATALOG_PORT": "port of the worker catalogue, read-only; 0 is off",
    "RBEE_TLS_CERT": "certificate chain of the web server, PEM",
    "RBEE_TLS_KEY": "its key, PEM",
    "RBEE_ADMIN_TOKEN": "the admin's token, instead of a generated one",
    "RBEE_DATABASE_URL": "sqlite:///… or postgresql://…",
    "RBEE_REDIS_URL": "your own Redis or Valkey, instead of the built-in broker",
    "RBEE_BROKER_HOST": "address the built-in broker listens on",
    "RBEE_BROKER_PORT": "its port; 0 is a free one, remembered in the data folder",
    "RBEE_CATALOG": "worker catalogue: a git URL or a folder, instead of the official one",
    "RBEE_RETENTION_DAYS": "days that ended jobs and their events are kept",
    "RBEE_RETENTION_JOBS": "ended jobs that are kept at most",
    "RBEE_QUEEN_URL": "the queen a hive belongs to",
    "RBEE_HIVE_NAME": "label of this hive; the host name otherwise",
    "RBEE_CAPABILITIES": "cuda, metal, cpu (comma separated), instead of what is detected",
    "RBEE_WORKER_PORTS": "ports for workers, first-last",
    "RBEE_LOCAL_ROOTS": "folders that file:/// models may come from, separated as in PATH",
    "RBEE_BANDWIDTH": "bytes a second that a hive downloads at most, such as 30MB; 0 is unlimited",
    "RBEE_DOWNLOAD_CONNECTIONS": "connections of one download",
    "RBEE_STALL_SECONDS": "seconds without a byte after which a connection is given up",
    "RBEE_PARTIAL_DAYS": "days that an unfinished download's pieces are kept",
    "RBEE_CIVITAI_URL": "CivitAI, or a server that speaks as it does",
    "RBEE_LICENSE_KEY": "licence key for premium worker packages",
    "RBEE_TOKEN": "token for premium worker packages",
    "HF_ENDPOINT": "Hugging Face, or a server that speaks as it does",
    "HF_TOKEN": "Hugging Face access token",
    "CIVITAI_API_TOKEN": "CivitAI access token",
}
"""Every setting of every program. Programs share one environment, so a name known here is unknown to none."""

FILE_NAMES = {name.lower().removeprefix("rbee_"): name for name in NAMES if name != "RBEE_CONFIG"}
"""How the settings file spells them."""


def _comma_list(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow a link that may move later


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]
"""0 means off, or a free one, as the setting says."""
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
Folder = Annotated[Path, AfterValidator(_absolute)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]


class Settings(BaseSettings):
    """What both programs know. `load` is the one way in: its errors name the variable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, populate_by_name=True
    )

    data_dir: Folder = Field(default_factory=lambda: Path(platformdirs.user_data_dir("rbee")))
    log_level: LogLevel = "info"
    insecure: bool = False
    http_hosts: CommaList = ()
    civitai_url: str = "https://civitai.com"
    license_key: SecretStr | None = None
    token: SecretStr | None = None
    hf_endpoint: str = Field(default="https://huggingface.co", validation_alias="HF_ENDPOINT")
    hf_token: SecretStr | None = Field(default=None, validation_alias="HF_TOKEN")
    civitai_api_token: SecretStr | None = Field(default=None, validation_alias="CIVITAI_API_TOKEN")

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Reads flags (None: not given), environment and file. Raises SettingsError naming the variable."""
        given = {name: value for name, value in flags.items() if value is not None}
        _refuse_unknown((name.upper() for name in os.environ if name.upper().startswith(PREFIX)), NAMES)
        try:
            return cls(**given)
        except ValidationError as error:
            # `from None`: the original holds the values, and a value may be a secret.
            raise _explain(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = _file(init_settings().get("data_dir"))
        values = {name: value for name, value in _read(path).items() if name in cls.model_fields}
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)


def variable(field: str) -> str:
    """The environment's name of a field: `port` is `RBEE_PORT`, `hf_token` is `HF_TOKEN`."""
    name = field.upper()
    return name if name in NAMES else PREFIX + name


def _file(data_dir_flag: str | Path | None) -> Path | None:
    if named := os.environ.get("RBEE_CONFIG"):
        return Path(named)
    data_dir = data_dir_flag or os.environ.get("RBEE_DATA_DIR") or platformdirs.user_data_dir("rbee")
    places = (_absolute(Path(data_dir)) / "rbee.toml", Path("rbee.toml"))
    return next((place for place in places if place.is_file()), None)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"the settings file {path} is not valid TOML: {_first_line(error)}") from None
    _refuse_unknown(values, FILE_NAMES, where=f" in {path}")
    return values


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0]


def _refuse_unknown(names: Iterable[str], known: Iterable[str], where: str = "") -> None:
    known = list(known)
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            advice = f"did you mean {nearest[0]}?" if nearest else "the README lists every setting"
            raise SettingsError(f"unknown setting {name}{where}; {advice}")


def _explain(error: ValidationError) -> SettingsError:
    problems = [
        _problem(item["loc"], item["msg"])
        for item in error.errors(include_input=False, include_url=False)
        if item["type"] != "default_factory_not_called"  # it follows from another error, which is in the list
    ]
    return SettingsError("; ".join(problems))


def _problem(loc: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{variable(str(loc[0]))}: {message[:1].lower()}{message[1:]}" if loc else message
