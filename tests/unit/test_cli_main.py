"""The command's outer edge: help, imports, exit codes, errors on stderr."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import main
from cli.exit_codes import WORDS
from tests.unit.cli_queen import Answer, Asked, ScriptedQueen

JOB = {
    "id": f"job-{'a' * 32}",
    "title": "Download org/repo",
    "state": "completed",
    "stopping": None,
    "is_parent": False,
    "hive_id": None,
    "target": {"all": True},
    "progress": None,
    "created_at": "2026-01-01T00:00:00.000Z",
}


@pytest.fixture
def queen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedQueen]:
    with ScriptedQueen() as server:
        monkeypatch.setenv("RBEE_QUEEN_URL", server.url)
        monkeypatch.setenv("RBEE_ADMIN_TOKEN", "a-key-of-16-characters")
        monkeypatch.setenv("RBEE_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        server.on("GET", "/v1/hives", Answer(body={"items": []}))
        yield server


def test_the_help_lists_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0

    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in main.COMMANDS)
    assert all(f"{code}  {words}" in told for code, words in WORDS.items())


def test_the_short_help_of_a_command_is_what_the_command_itself_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, entry in main.COMMANDS.items():
        assert main.run([name, "--help"]) == 0

        told = " ".join(capsys.readouterr().out.split())
        assert entry.help.split(",")[0].rstrip(".") in told or name in {"login", "job", "secret"}


def test_the_help_loads_neither_the_network_nor_the_settings() -> None:
    probe = (
        "import sys; from cli import main; code = main.run(['--help']); "
        "print(code, sorted({'requests', 'rich', 'pydantic', 'sqlmodel', 'celery'} & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "0 []"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["job", "show"],
        ["job", "ls", "--state", "strange"],
        ["job", "submit", "model_download", "novalue", "--all"],
        ["job", "submit", "model_download", "n:=[", "--all"],
        ["job", "submit", "model_download", "--all", "--hive", "x"],
        ["job", "submit", "model_download"],
        ["job", "logs", "abc", "--json"],
        ["hive", "join", "http://127.0.0.1:1", "rubbish"],
        ["completion", "csh"],
    ],
)
def test_what_cannot_be_meant_is_usage(arguments: list[str], queen: ScriptedQueen) -> None:
    assert main.run(arguments) == 2


def test_an_error_of_the_queen_is_two_lines_on_stderr(
    queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {
        "code": "no_hive_fits",
        "message": "No hive fits.",
        "hint": "Start a hive.",
        "details": [{"name": "box", "fits": False, "reason": "It has not been heard lately."}],
    }
    queen.on("POST", "/v1/jobs", Answer(409, {"error": refusal}))

    code = main.run(["job", "submit", "model_verify", "model=a/b", "--all"])

    told = capsys.readouterr()
    assert code == 1
    assert told.out == ""
    assert told.err == "rbee: No hive fits: box: It has not been heard lately.\n      Start a hive.\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401, {"error": {"code": "unauthorized", "message": "The token is not known."}}), 1),
        (Answer(404, {"error": {"code": "not_found", "message": "There is no such job."}}), 5),
        (
            Answer(
                429, {"error": {"code": "too_many", "message": "Too many."}}, headers={"Retry-After": "3"}
            ),
            1,
        ),
        (Answer(500, {"error": {"code": "internal", "message": "Something went wrong."}}), 1),
        (Answer(503, {"error": {"code": "unavailable", "message": "Not now."}}), 3),
        (Answer(200, "<html>a router's login page</html>"), 3),
        (Answer(502, "<html>bad gateway</html>"), 3),
        (Answer(302, "", headers={"Location": "http://elsewhere.example/"}), 3),
    ],
)
def test_every_answer_has_its_exit_code_and_no_traceback(
    answer: Answer, code: int, queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]
) -> None:
    queen.on("GET", f"/v1/jobs/{JOB['id']}", answer)

    assert main.run(["job", "show", str(JOB["id"])]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_no_queen_is_exit_code_3(queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--url", "http://127.0.0.1:9", "--key", "k", "status"]) == 3
    assert "No queen answers" in capsys.readouterr().err


def test_an_unknown_setting_is_exit_code_2(queen: ScriptedQueen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_PROT", "1")

    assert main.run(["job", "ls"]) == 2


def test_a_list_is_one_json_document(queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]) -> None:
    queen.on("GET", "/v1/jobs", Answer(body={"items": [JOB], "next_cursor": "more"}))

    assert main.run(["job", "ls", "--json", "--state", "failed", "--state", "paused", "--limit", "7"]) == 0

    assert json.loads(capsys.readouterr().out) == {"items": [JOB], "next_cursor": "more"}
    assert queen.asked[-1].query == {"state": "failed,paused", "limit": "7"}


def test_a_table_in_a_pipe_is_neither_cut_nor_padded(
    queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]
) -> None:
    long = {**JOB, "title": "Download " + "x" * 300}
    queen.on("GET", "/v1/jobs", Answer(body={"items": [long], "next_cursor": None}))

    main.run(["job", "ls"])

    lines = capsys.readouterr().out.splitlines()
    assert long["title"] in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_parameters_are_text_unless_they_are_given_as_json(queen: ScriptedQueen) -> None:
    queen.on("POST", "/v1/jobs", Answer(202, {"job_id": JOB["id"], "sse_url": "", "state": "queued"}))

    main.run(["job", "submit", "some_operation", "model=a/b:c=d", "count:=3", "--all"])

    assert queen.asked[-1].body == {
        "operation": "some_operation",
        "model": "a/b:c=d",
        "count": 3,
        "target": {"all": True},
    }


def test_steering_several_jobs_does_what_it_can_and_tells_the_rest(
    queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]
) -> None:
    good, gone = str(JOB["id"]), f"job-{'b' * 32}"
    queen.on("POST", f"/v1/jobs/{good}/retries", Answer(202, JOB))

    code = main.run(["job", "retry", gone, good])

    told = capsys.readouterr()
    assert code == 5
    assert "Retries aaaaaaaa" in told.out
    assert "There is nothing here" in told.err


def test_cancelling_what_is_finished_is_refused(queen: ScriptedQueen) -> None:
    queen.on("GET", f"/v1/jobs/{JOB['id']}", Answer(body=JOB))

    assert main.run(["job", "cancel", str(JOB["id"])]) == 1
    assert all(asked.method == "GET" for asked in queen.asked)


def test_a_secret_comes_from_stdin_and_never_from_an_argument(
    queen: ScriptedQueen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "value").write_text("hf_secret\n")
    queen.on("PUT", "/v1/secrets/HF_TOKEN", Answer(204))

    with (tmp_path / "value").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main.run(["secret", "set", "HF_TOKEN"]) == 0

    assert queen.asked[-1].body == {"value": "hf_secret"}
    assert main.run(["secret", "set", "HF_TOKEN", "hf_secret"]) == 2


def test_removing_a_hive_asks_and_cannot_ask_a_pipe(
    queen: ScriptedQueen, monkeypatch: pytest.MonkeyPatch
) -> None:
    hive = {"id": "a" * 16, "name": "box", "kind": "hive", "online": True}
    queen.on("GET", "/v1/hives", Answer(body={"items": [hive]}))
    queen.on("DELETE", f"/v1/hives/{hive['id']}", Answer(204))

    with Path("/dev/null").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        unasked = main.run(["hive", "rm", "box"])
    told = main.run(["hive", "rm", "box", "--yes"])

    assert (unasked, told) == (2, 0)


def test_a_login_is_stored_only_when_the_queen_takes_the_key(
    queen: ScriptedQueen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def door(asked: Asked) -> Answer:
        if asked.headers["Authorization"] == "Bearer good":
            return Answer(body={"items": []})
        return Answer(401, {"error": {"code": "unauthorized", "message": "The token is not known."}})

    queen.on("GET", "/v1/hives", door)

    refused = main.run(["login", queen.url, "--key", "bad"])
    stored_nothing = not (tmp_path / "rbee" / "login.json").exists()
    taken = main.run(["login", queen.url, "--key", "good"])

    assert (refused, stored_nothing, taken) == (1, True, 0)
    assert json.loads((tmp_path / "rbee" / "login.json").read_text())["key"] == "good"


def test_nobody_is_shown_a_traceback_unasked(
    queen: ScriptedQueen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queen.on("GET", "/v1/jobs", Answer(body={"items": [{"of": "another shape"}], "next_cursor": None}))

    code = main.run(["job", "ls"])
    monkeypatch.setenv("RBEE_LOG_LEVEL", "debug")

    assert code == 1
    assert capsys.readouterr().err.count("\n") == 2
    with pytest.raises(KeyError):
        main.run(["job", "ls"])


def test_one_job_is_shown_with_its_error_and_its_children(
    queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"started_at": None, "finished_at": None, "note": None, "attempt": 2, "losses": 1}
    error = {
        "code": "child_failed",
        "message": "1 of 2 hives failed.",
        "hint": "Look at the jobs of the hives.",
    }
    child = {**JOB, **times, "id": f"job-{'c' * 32}", "target": {"hive": "d" * 16}, "error": None}
    parent = {**JOB, **times, "state": "failed", "is_parent": True, "error": error, "children": [child]}
    queen.on("GET", f"/v1/jobs/{JOB['id']}", Answer(body=parent))

    assert main.run(["job", "show", str(JOB["id"])]) == 0

    told = capsys.readouterr().out
    for words in (
        "1 of 2 hives failed.",
        "Look at the jobs",
        "2, lost 1 times",
        "cccccccc  completed  dddddddd",
    ):
        assert words in told


def test_why_tells_for_each_hive_what_would_help(
    queen: ScriptedQueen, capsys: pytest.CaptureFixture[str]
) -> None:
    full = {"name": "box", "fits": False, "filter": "disk", "reason": "It has not enough free disk."}
    verdicts = [{**full, "need": 5e9, "have": 1e9}, {"name": "mac", "fits": True, "score": 10.1}]
    queen.on(
        "GET",
        f"/v1/jobs/{JOB['id']}/why",
        Answer(
            body={"state": "queued", "placed_on": None, "choice": None, "note": "Waits.", "hives": verdicts}
        ),
    )

    assert main.run(["job", "why", str(JOB["id"])]) == 0

    told = capsys.readouterr().out
    assert "box   no    It has not enough free disk. Needs 5.0 GB, has 1.0 GB." in told
    assert "mac   yes   score 10.1" in told
    assert "Placed on" not in told
