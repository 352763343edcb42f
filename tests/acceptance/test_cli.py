"""The real `rbee` beside a real stack: exit codes, JSON, following, detaching, a second hive, completion."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hubs.file_server import FileServer
from tests.stack import RBEE, Program, Stack, free_port, wait_for

MODEL = b"GGUF" + bytes(4_000_000)
SLOW = 400_000
"""Bytes a second of one connection: MODEL takes some seconds."""


def rbee(stack: Stack, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RBEE), *arguments],
        env={**stack.env, **env},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def following(stack: Stack, *arguments: str) -> Program:
    return Program([str(RBEE), *arguments], stack.env)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def test_a_download_is_followed_in_plain_lines_and_ends_with_0(stack: Stack, server: FileServer) -> None:
    server.add("plain.gguf", MODEL)

    done = rbee(stack, "model", "download", server.url("plain.gguf"))

    assert done.returncode == 0, done.stderr
    assert "every byte verified by SHA-256" in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)
    lines = done.stdout.splitlines()
    assert len(lines) == len(set(lines))
    assert server.url("plain.gguf") in rbee(stack, "model", "ls").stdout


def test_json_is_one_document_and_the_log_agrees_with_the_stream(stack: Stack, server: FileServer) -> None:
    server.add("json.gguf", MODEL)

    done = rbee(stack, "model", "download", server.url("json.gguf"), "--hive", "first", "--json")
    job = json.loads(done.stdout)
    log = rbee(stack, "job", "logs", job["id"]).stdout
    events = [
        json.loads(line) for line in rbee(stack, "job", "logs", "-f", "--json", job["id"]).stdout.splitlines()
    ]

    assert (done.returncode, done.stderr) == (0, "")
    assert (job["operation"], job["state"]) == ("model_download", "completed")
    assert [event["event"] for event in events][-1] == "end"
    spoken = [event["data"]["text"] for event in events if event["event"] == "line"]
    assert all(text in log for text in spoken)
    assert "[completed]" in log
    shown = json.loads(rbee(stack, "job", "show", job["id"][4:12], "--json").stdout)
    assert shown["id"] == job["id"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], 0),
        (["hive", "ls", "--json"], 0),
        (["job", "ls", "--since", "1h", "--all-pages", "--json"], 0),
        (["job", "ls", "--since", "yesterday"], 2),
        (["job", "submit", "model_download", "model=../x", "--all"], 2),
        (["job", "submit", "bake_bread", "--all"], 2),
        (["job", "show", "0" * 32], 5),
        (["job", "ls", "--hive", "nobody"], 5),
        (["model", "rm", "org/absent"], 5),
        (["secret", "set", "NO_SUCH_SECRET"], 2),
        (["--url", "http://127.0.0.1:9", "--key", "k", "job", "ls"], 3),
        (["model", "verify", "org/absent", "--hive", "first"], 1),
    ],
)
def test_exit_codes(stack: Stack, arguments: list[str], code: int) -> None:
    done = rbee(stack, *arguments, stdin="value")

    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (code != 0)


def test_a_failed_download_says_why_and_ends_with_1(stack: Stack, server: FileServer) -> None:
    done = rbee(stack, "model", "download", server.url("nothing.gguf"))

    assert done.returncode == 1
    assert "failed" in done.stderr
    assert "rbee job retry" in done.stderr


def test_ctrl_c_detaches_and_the_job_goes_on_until_it_is_cancelled(stack: Stack, server: FileServer) -> None:
    server.add("slow.gguf", MODEL, rate=SLOW)
    program = following(stack, "model", "download", server.url("slow.gguf"))
    short = program.wait_line(r"job ([0-9a-f]{8})$")[1]
    program.wait_line("Fetches")

    program.process.send_signal(signal.SIGINT)
    code = program.process.wait(5)
    told = program.wait_line("Detached")

    assert (code, bool(told)) == (130, True)
    program.wait_line(f"rbee job logs -f {short}")
    program.wait_line(f"rbee job cancel {short}")
    assert json.loads(rbee(stack, "job", "show", short, "--json").stdout)["state"] == "running"
    follower = following(stack, "job", "logs", "-f", short)
    follower.wait_line("Fetches")
    assert rbee(stack, "job", "cancel", short).returncode == 0
    assert follower.process.wait(10) == 4
    assert rbee(stack, "job", "cancel", short).returncode == 1


def test_a_killed_web_process_does_not_end_the_following(stack: Stack, server: FileServer) -> None:
    server.add("restart.gguf", MODEL, rate=SLOW)
    program = following(stack, "model", "download", server.url("restart.gguf"))
    program.wait_line("Fetches")

    old = stack.kill("web")
    stack.wait_restarted("web", old)
    code = program.process.wait(40)

    assert code == 0, program.lines
    spoken = [line for line in program.lines if not line.startswith(("Downloading", "Verifying", "["))]
    assert len(spoken) == len(set(spoken))
    assert "every byte verified" in program.lines[-1]


def test_a_terminal_gets_a_bar_and_its_cursor_back(stack: Stack, server: FileServer) -> None:
    server.add("bar.gguf", MODEL, rate=SLOW)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(RBEE), "model", "download", server.url("bar.gguf")],
        env={**stack.env, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)

    seen = _read_until(master, lambda text: "━" in text and re.search(r"\d%", text))
    process.terminate()
    seen += _read_until(master, lambda text: "rbee job cancel" in text)

    assert process.wait(5) == 130
    os.close(master)
    assert "Downloading" in seen
    assert "\x1b[?25l" in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")


def _read_until(master: int, seen_enough) -> str:  # type: ignore[no-untyped-def]
    text, end = "", time.monotonic() + 15
    while not seen_enough(text):
        assert time.monotonic() < end, text
        if select.select([master], [], [], 0.2)[0]:
            text += os.read(master, 65536).decode(errors="replace")
    return text


def test_a_second_hive_joins_by_token_and_gets_jobs_by_its_name(
    stack: Stack, server: FileServer, tmp_path: Path
) -> None:
    server.add("second.gguf", MODEL)
    command = rbee(stack, "hive", "token").stdout.split()
    elsewhere = {"RBEE_DATA_DIR": str(tmp_path / "second"), "RBEE_HIVE_NAME": "second"}

    wrong = rbee(stack, "hive", "join", "http://127.0.0.1:9", command[-1], **elsewhere)
    joined = rbee(stack, *command[1:], **elsewhere)
    again = rbee(stack, *command[1:], **elsewhere)
    used = rbee(stack, *command[1:], **{**elsewhere, "RBEE_DATA_DIR": str(tmp_path / "third")})
    hive = Program([str(RBEE), "hive", "run"], {**stack.env, **elsewhere})
    try:
        wait_for(lambda: re.search(r"second .* online", rbee(stack, "hive", "ls").stdout), "second is online")
        done = rbee(stack, "model", "download", server.url("second.gguf"), "--hive", "second", "--json")
        everywhere = rbee(stack, "model", "download", server.url("second.gguf"), "--all")
        several = rbee(stack, "model", "rm", server.url("second.gguf"))
        removed = rbee(stack, "model", "rm", server.url("second.gguf"), "--all")
    finally:
        hive.end()

    assert (wrong.returncode, joined.returncode, again.returncode, used.returncode) == (2, 0, 1, 1)
    assert "rbee hive run" in joined.stdout
    identity = tmp_path / "second" / "hive" / "identity.json"
    assert identity.stat().st_mode & 0o777 == 0o600
    assert json.loads(done.stdout)["hive_id"] == json.loads(identity.read_text())["id"]
    assert everywhere.returncode == 0
    assert re.search(r"^first  .*available", everywhere.stdout, re.MULTILINE)
    assert several.returncode == 2
    assert "--all" in several.stderr
    assert removed.returncode == 0
    renamed = rbee(stack, "hive", "rename", "second", "third one")
    assert renamed.returncode == 0
    assert rbee(stack, "hive", "rm", "third one").returncode == 2
    assert rbee(stack, "hive", "rm", "third one", "--yes").returncode == 0
    assert "third" not in rbee(stack, "hive", "ls").stdout


def test_keys_open_what_their_scope_says(stack: Stack) -> None:
    key = rbee(stack, "key", "create", "ci", "--scope", "operate").stdout.strip()

    listed = json.loads(rbee(stack, "key", "ls", "--json").stdout)["items"]
    used = rbee(stack, "--url", stack.url, "--key", key, "job", "ls")
    refused = rbee(stack, "--url", stack.url, "--key", key, "hive", "token")
    link = rbee(stack, "login").stdout.strip()
    revoked = rbee(stack, "key", "rm", "ci")

    assert [one["name"] for one in listed] == ["ci"]
    assert key not in json.dumps(listed)
    assert (used.returncode, refused.returncode, revoked.returncode) == (0, 1, 0)
    assert link.startswith(f"{stack.url}/login?token=")
    assert rbee(stack, "login", "--token").stdout.strip() == stack.token


def test_a_stored_login_works_without_the_data_folder(stack: Stack, tmp_path: Path) -> None:
    bare = {k: v for k, v in stack.env.items() if not k.startswith("RBEE_")}
    bare |= {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}

    def run(*arguments: str) -> int:
        return subprocess.run(
            [str(RBEE), *arguments], env=bare, cwd=tmp_path, capture_output=True, timeout=30, check=False
        ).returncode

    assert run("job", "ls") == 3
    assert run("login", stack.url, "--key", "wrong") == 1
    assert run("login", stack.url, "--key", stack.token) == 0
    assert run("job", "ls") == 0
    assert run("logout") == 0
    assert run("job", "ls") == 3


def test_up_refuses_a_folder_in_use_and_a_port_that_is_taken(stack: Stack, tmp_path: Path) -> None:
    same = rbee(stack, "up", "--port", str(free_port()))
    taken = rbee(stack, "up", "--data-dir", str(tmp_path / "other"))

    assert (same.returncode, taken.returncode) == (1, 2)
    assert "already runs" in same.stderr
    assert f"port {stack.port}" in taken.stderr
    assert not (tmp_path / "other" / "queen").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_valid_where_its_shell_is_installed(stack: Stack, shell: str) -> None:
    script = rbee(stack, "completion", shell)

    assert script.returncode == 0
    if shutil.which(shell):
        checked = subprocess.run(
            [shell, "-n"], input=script.stdout, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_commands_and_the_names_of_hives(stack: Stack) -> None:
    def completed(line: str) -> list[str]:
        words = line.split(" ")
        script = (
            'eval "$(rbee completion bash)"; COMP_WORDS=(' + " ".join(f'"{word}"' for word in words) + "); "
            f"COMP_CWORD={len(words) - 1}; _rbee_completion rbee; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        env = {**stack.env, "PATH": f"{RBEE.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "--norc", "-c", script], env=env, text=True, capture_output=True, check=False
        )
        return done.stdout.split()

    assert completed("rbee mo") == ["model"]
    assert completed("rbee model down") == ["download"]
    assert completed("rbee model download x --hive fi") == ["first"]
    assert completed("rbee hive show ") == ["first"]
