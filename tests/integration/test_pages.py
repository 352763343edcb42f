"""The pages as a program sees them: who may look, where a login leads, what is kept, what is pushed."""

import re

import pytest
import requests

from tests.hubs.file_server import FileServer
from tests.stack import Stack

PAGES = ("/", "/jobs", "/hives", "/models", "/settings")


def stranger(stack: Stack, method: str, path: str, **more: object) -> requests.Response:
    return requests.request(method, stack.url + path, timeout=20, allow_redirects=False, **more)  # type: ignore[arg-type]


def test_every_page_sends_a_stranger_to_the_login(shared_stack: Stack) -> None:
    answers = {path: stranger(shared_stack, "GET", path) for path in PAGES}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(PAGES, 303)
    assert answers["/jobs"].headers["Location"] == "/login?next=%2Fjobs"


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1"]
)
def test_a_login_leads_nowhere_else(shared_stack: Stack, following: str) -> None:
    form = {"token": shared_stack.token, "next": following}

    answer = stranger(shared_stack, "POST", "/login", data=form)

    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


def test_a_form_from_another_site_is_refused(shared_stack: Stack) -> None:
    login = stranger(shared_stack, "POST", "/login", data={"token": shared_stack.token})
    cookie = login.headers["Set-Cookie"].split(";")[0]

    for headers in ({"Origin": "https://evil.example"}, {}):
        answer = stranger(
            shared_stack, "POST", "/downloads", data={"model": "a/b"}, headers={"Cookie": cookie, **headers}
        )
        assert answer.status_code == 403


def test_static_files_are_kept_for_ever_under_their_version_alone(shared_stack: Stack) -> None:
    page = stranger(shared_stack, "GET", "/login").text
    path = re.search(r"/static/\w+/page\.css", page)
    assert path is not None

    kept = stranger(shared_stack, "GET", path[0])
    other = stranger(shared_stack, "GET", "/static/other/page.css")
    again = stranger(shared_stack, "GET", path[0], headers={"If-None-Match": kept.headers["ETag"]})

    assert "immutable" in kept.headers["Cache-Control"]
    assert other.headers["Cache-Control"] == "no-cache"
    assert again.status_code == 304
    assert stranger(shared_stack, "GET", "/static/x/../../words.py").status_code == 404
    assert stranger(shared_stack, "GET", "/static/x/%2e%2e/words.py").status_code == 404


def test_a_page_needs_nothing_that_its_content_policy_forbids(shared_stack: Stack) -> None:
    for path in (*PAGES, "/login", "/nothing-here"):
        answer = shared_stack.request("GET", path)

        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert not re.search(
            r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|(?:src|href)=.https?://", answer.text
        ), path


def test_what_a_page_and_its_files_weigh_stays_small(shared_stack: Stack) -> None:
    page = shared_stack.request("GET", "/").text
    names = set(re.findall(r"/static/\w+/[\w.]+", page))
    seen: set[str] = set()
    total = len(page)
    while names - seen:
        path = (names - seen).pop()
        seen.add(path)
        text = shared_stack.request("GET", path).text
        total += len(text.encode())
        names |= {path.rpartition("/")[0] + "/" + name for name in re.findall(r'from "\./([\w.]+)"', text)}

    assert total < 120_000


def test_the_live_stream_pushes_the_partials_of_the_pages(shared_stack: Stack, files: FileServer) -> None:
    files.add("pushed.gguf", b"GGUF" + bytes(1000))
    job_id = shared_stack.submit("model_download", model=files.url("pushed.gguf"))
    shared_stack.wait_state(job_id, "completed")

    frames: list[str] = []
    with shared_stack.session.get(
        f"{shared_stack.url}/live?job={job_id}&last_event_id=1", stream=True, timeout=20
    ) as response:
        for line in response.iter_lines(chunk_size=1, decode_unicode=True):
            frames.append(line)
            if "<b>Completed.</b>" in line:
                break

    pushed = "\n".join(frames)
    assert f'<article id="{job_id}"' in pushed
    assert re.search(rf'<li id="event-\d+" class="said line" data-job="{job_id}">', pushed)


def test_what_a_person_types_is_text_and_not_markup(shared_stack: Stack) -> None:
    answer = shared_stack.request("POST", "/downloads", data={"model": "<b>x</b>", "target": "all"})

    assert answer.status_code == 400
    assert "<b>x</b>" not in answer.text
    assert "&lt;b&gt;x&lt;/b&gt;" in answer.text


def test_a_wish_that_comes_too_late_is_answered_with_a_page(shared_stack: Stack, files: FileServer) -> None:
    files.add("late.gguf", b"GGUF" + bytes(1000))
    job_id = shared_stack.submit("model_download", model=files.url("late.gguf"))
    shared_stack.wait_state(job_id, "completed")

    plain = shared_stack.request("POST", f"/jobs/{job_id}/pauses")
    fragment = shared_stack.request(
        "POST", f"/jobs/{job_id}/pauses", headers={"Accept": "text/html-fragment"}
    )

    assert (plain.status_code, fragment.status_code) == (409, 409)
    assert "To the dashboard" in plain.text
    assert fragment.text.lstrip().startswith('<div class="notice bad"')
