"""Settings: where values come from, and what stops the start."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from hive.settings import HiveSettings, PortRange
from queen.settings import QueenSettings, is_loopback
from shared.errors import SettingsError
from shared.settings import FILE_NAMES, NAMES, Settings, variable


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without our names, an empty data folder, and the current folder elsewhere."""
    for name in [name for name in os.environ if name.startswith("RBEE_") or name in NAMES]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RBEE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, nothing_set: Path
) -> None:
    (nothing_set / "data/rbee.toml").write_text("port = 1\ncatalog_port = 2\nbroker_port = 3\n")
    monkeypatch.setenv("RBEE_PORT", "4")
    monkeypatch.setenv("RBEE_CATALOG_PORT", "5")

    settings = QueenSettings.load(port=6, host=None)

    assert (settings.port, settings.catalog_port, settings.broker_port) == (6, 5, 3)
    assert settings.host == "127.0.0.1"


def test_the_file_is_the_named_one_else_the_data_folders_else_the_current_folders(
    monkeypatch: pytest.MonkeyPatch, nothing_set: Path
) -> None:
    (nothing_set / "here/rbee.toml").write_text("port = 1")
    assert QueenSettings.load().port == 1

    (nothing_set / "data/rbee.toml").write_text("catalog_port = 2")
    assert (QueenSettings.load().port, QueenSettings.load().catalog_port) == (7835, 2)

    (nothing_set / "mine.toml").write_text("port = 3")
    monkeypatch.setenv("RBEE_CONFIG", str(nothing_set / "mine.toml"))
    assert (QueenSettings.load().port, QueenSettings.load().catalog_port) == (3, 8502)


def test_an_unknown_variable_stops_the_start_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RBEE_DATABSE_URL", "postgresql://me:hunter2@host/db")

    with pytest.raises(SettingsError) as caught:
        HiveSettings.load()

    assert "RBEE_DATABSE_URL" in caught.value.message
    assert "RBEE_DATABASE_URL" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_an_unknown_name_in_the_file_stops_the_start_with_the_nearest_known_one(nothing_set: Path) -> None:
    (nothing_set / "data/rbee.toml").write_text("prot = 1")

    with pytest.raises(SettingsError, match=r"unknown setting prot .*did you mean port\?"):
        QueenSettings.load()


@pytest.mark.parametrize("text", ["port = ", "\x00", "[queen]\nport = 1"])
def test_a_broken_file_stops_the_start(nothing_set: Path, text: str) -> None:
    (nothing_set / "data/rbee.toml").write_text(text)

    with pytest.raises(SettingsError, match=r"rbee\.toml"):
        QueenSettings.load()


def test_a_file_named_but_absent_stops_the_start(monkeypatch: pytest.MonkeyPatch, nothing_set: Path) -> None:
    monkeypatch.setenv("RBEE_CONFIG", str(nothing_set / "absent.toml"))

    with pytest.raises(SettingsError, match=r"absent\.toml cannot be read"):
        QueenSettings.load()


def test_programs_share_one_environment_and_one_file(
    monkeypatch: pytest.MonkeyPatch, nothing_set: Path
) -> None:
    monkeypatch.setenv("RBEE_BANDWIDTH", "30MB")
    (nothing_set / "data/rbee.toml").write_text('port = 1\nhive_name = "attic"')

    assert QueenSettings.load().port == 1
    assert (HiveSettings.load().hive_name, HiveSettings.load().bandwidth) == ("attic", 30_000_000)


def test_every_field_has_its_variable_in_the_table_and_no_variable_is_without_a_field() -> None:
    fields = {variable(name) for program in (QueenSettings, HiveSettings) for name in program.model_fields}

    assert fields | {"RBEE_CONFIG"} == set(NAMES)
    assert set(FILE_NAMES.values()) == fields


@pytest.mark.parametrize(
    ("program", "name", "value"),
    [
        (QueenSettings, "RBEE_PORT", "seventy"),
        (QueenSettings, "RBEE_PORT", "70000"),
        (QueenSettings, "RBEE_ADMIN_TOKEN", "tooshort"),
        (QueenSettings, "RBEE_DATABASE_URL", "mysql://me:hunter2@host/db"),
        (QueenSettings, "RBEE_REDIS_URL", "http://me:hunter2@host"),
        (QueenSettings, "RBEE_TLS_CERT", "/no/such/file"),
        (QueenSettings, "RBEE_RETENTION_DAYS", "0"),
        (HiveSettings, "RBEE_QUEEN_URL", "ftp://queen"),
        (HiveSettings, "RBEE_CAPABILITIES", "gpu"),
        (HiveSettings, "RBEE_WORKER_PORTS", "8179-8080"),
        (HiveSettings, "RBEE_WORKER_PORTS", "some"),
        (HiveSettings, "RBEE_BANDWIDTH", "fast"),
        (HiveSettings, "RBEE_DOWNLOAD_CONNECTIONS", "0"),
        (HiveSettings, "RBEE_LOG_LEVEL", "loud"),
        (HiveSettings, "RBEE_INSECURE", "perhaps"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable_and_never_echoed(
    monkeypatch: pytest.MonkeyPatch, program: type[Settings], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        program.load()

    assert caught.value.message.startswith(name)
    assert ("hunter2" in caught.value.message, "tooshort" in caught.value.message) == (False, False)
    assert caught.value.__suppress_context__


def test_several_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_PORT", "x")
    monkeypatch.setenv("RBEE_BROKER_PORT", "y")

    with pytest.raises(SettingsError, match=r"RBEE_PORT.*RBEE_BROKER_PORT"):
        QueenSettings.load()


def test_secrets_do_not_show_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_ADMIN_TOKEN", "hunter2-hunter2-hunter2")
    monkeypatch.setenv("RBEE_DATABASE_URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("RBEE_REDIS_URL", "rediss://me:hunter2@host")
    monkeypatch.setenv("HF_TOKEN", "hf_hunter2")

    settings = QueenSettings.load()

    assert "hunter2" not in repr(settings) + str(settings)
    assert settings.hf_token == SecretStr("hf_hunter2")
    assert settings.database_url == "postgresql+psycopg://me:hunter2@host/db"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_TLS_CERT", "")

    assert QueenSettings.load().tls_cert is None


def test_the_database_lies_in_the_data_folder_by_default(nothing_set: Path) -> None:
    assert QueenSettings.load().database_url == f"sqlite:///{nothing_set}/data/queen/rbee.sqlite3"
    assert QueenSettings.load(data_dir="~/elsewhere").data_dir == Path.home() / "elsewhere"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "my-machine"])
def test_an_address_others_reach_needs_tls_or_the_explicit_word(host: str) -> None:
    with pytest.raises(SettingsError, match=r"RBEE_HOST=.*RBEE_TLS_CERT.*RBEE_INSECURE=1"):
        QueenSettings.load(host=host)
    assert QueenSettings.load(host=host, insecure=True).host == host
    assert QueenSettings.load(host=host, tls_cert=__file__, tls_key=__file__).host == host


def test_a_broker_others_reach_needs_the_explicit_word_or_a_redis_of_yours() -> None:
    tls = {"tls_cert": __file__, "tls_key": __file__}

    with pytest.raises(SettingsError, match=r"RBEE_BROKER_HOST=0.*tunnel.*rediss://.*RBEE_INSECURE=1"):
        QueenSettings.load(broker_host="0.0.0.0", **tls)

    assert QueenSettings.load(broker_host="0.0.0.0", insecure=True).broker_host == "0.0.0.0"
    assert QueenSettings.load(broker_host="0.0.0.0", redis_url="rediss://host").redis_url == "rediss://host"


def test_certificate_and_key_belong_together() -> None:
    with pytest.raises(SettingsError, match="belong together"):
        QueenSettings.load(tls_cert=__file__)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("30MB", 30_000_000),
        ("30 MiB/s", 31_457_280),
        ("1.5k", 1500),
        ("512", 512),
        ("1GBps", 10**9),
        ("0", 0),
    ],
)
def test_a_bandwidth_is_read_in_the_usual_units(text: str, rate: int) -> None:
    assert HiveSettings.load(bandwidth=text).bandwidth == rate


def test_lists_are_read_from_the_environment_and_from_the_file(
    monkeypatch: pytest.MonkeyPatch, nothing_set: Path
) -> None:
    monkeypatch.setenv("RBEE_CAPABILITIES", "cpu, cuda")
    monkeypatch.setenv("RBEE_LOCAL_ROOTS", f"/models{os.pathsep}/mnt/more")
    (nothing_set / "data/rbee.toml").write_text(
        'http_hosts = ["nas:8000", "10.0.0.7"]\nworker_ports = "9000-9009"'
    )

    settings = HiveSettings.load()

    assert settings.capabilities == ("cuda", "cpu")
    assert settings.local_roots == (Path("/models"), Path("/mnt/more"))
    assert settings.http_hosts == ("nas:8000", "10.0.0.7")
    assert settings.worker_ports == PortRange(9000, 9009)
