"""The main job, as a person does it on the pages."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.screen import MEGABYTE, card_of, forgive, listen, model, start
from tests.hubs.file_server import Exchange, FileServer
from tests.stack import Stack, wait_for

WATCH_BARS = """() => {
    window.seen = [];
    new MutationObserver(() => {
        const value = document.querySelector("article[data-state=running] progress")?.getAttribute("value");
        if (value && Number(value) !== window.seen.at(-1)) window.seen.push(Number(value));
    }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""
"""Remembers what the bar of the running job showed, for as long as the document lives."""


def test_a_submitted_download_moves_its_bar_and_completes_without_a_reload(
    page: Page, files: FileServer
) -> None:
    files.add("moves.gguf", model(4 * MEGABYTE), rate=MEGABYTE)
    page.goto("/")
    page.evaluate(WATCH_BARS)

    page.get_by_label("Model", exact=True).fill(files.url("moves.gguf"))
    page.get_by_role("button", name="Download", exact=True).click()

    expect(card_of(page, "moves.gguf").locator(".badge")).to_have_text("completed")
    expect(page.locator("#dashboard-models")).to_contain_text("moves.gguf")
    seen = page.evaluate("window.seen")
    assert len(seen) >= 3
    assert seen == sorted(seen)


def test_the_form_is_empty_again_after_a_download_was_submitted(page: Page, files: FileServer) -> None:
    files.add("again.gguf", model(1000))

    start(page, files.url("again.gguf"))

    expect(card_of(page, "again.gguf").locator(".badge")).to_have_text("completed")
    expect(page.get_by_label("Model", exact=True)).to_have_value("")
    expect(page.get_by_label("Model", exact=True)).to_be_focused()


def test_a_job_is_cancelled_and_retried_from_its_card(page: Page, files: FileServer) -> None:
    files.add("unwanted.gguf", model(20 * MEGABYTE), rate=MEGABYTE)
    start(page, files.url("unwanted.gguf"))
    card = card_of(page, "unwanted.gguf")
    expect(card.locator(".badge")).to_have_text("running")

    card.get_by_role("button", name="Cancel").click()

    expect(card.locator(".badge")).to_have_text("cancelled")
    assert files.wait_until_idle(5)
    files.files["unwanted.gguf"].rate = None
    card.get_by_role("button", name="Retry").click()
    expect(card.locator(".badge")).to_have_text("completed")


def test_the_job_page_shows_every_line_once_through_pause_resume_and_a_dead_web_process(
    page: Page, complaints: list[str], files: FileServer, shared_stack: Stack
) -> None:
    served = files.add("told.gguf", model(30 * MEGABYTE), rate=MEGABYTE)
    start(page, files.url("told.gguf"))
    card_of(page, "told.gguf").get_by_role("link", name="told.gguf").click()
    badge = page.locator("article.job .badge")
    expect(badge).to_have_text("running")
    page.get_by_role("button", name="Pause").click()
    expect(badge).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(badge).to_have_text("running")

    old = shared_stack.kill("web")
    expect(page.locator("#connection")).to_be_visible()
    served.rate = None
    shared_stack.wait_restarted("web", old)

    expect(badge).to_have_text("completed")
    expect(page.locator("#connection")).to_be_hidden()
    job_id = re.sub(r".*/", "", page.url)
    told = [e["data"]["text"] for e in shared_stack.narration(job_id) if e["event"] in {"line", "log"}]
    shown = page.locator("#narration li:is(.line, .log) .text")
    expect(shown).to_have_text(told)
    expect(page.locator("#narration li.end")).to_have_count(1)
    ids = page.locator("#narration li").evaluate_all("lines => lines.map(line => Number(line.id.slice(6)))")
    assert ids == sorted(set(ids))
    forgive(complaints)


def test_the_log_follows_its_reader_and_waits_for_one_who_looks_back(page: Page, files: FileServer) -> None:
    def busy_at_first(exchange: Exchange) -> bool | None:
        return exchange.reply(503, {"Retry-After": "0"}) if exchange.request.number <= 6 else None

    files.add("followed.gguf", model(20 * MEGABYTE), rate=MEGABYTE, hook=busy_at_first)
    page.set_viewport_size({"width": 800, "height": 150})
    start(page, files.url("followed.gguf"))
    card_of(page, "followed.gguf").get_by_role("link", name="followed.gguf").click()
    log = page.locator("[data-follow]")
    at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 24"
    wait_for(lambda: log.locator("li").count() >= 5 and log.evaluate(at_end), "the log follows")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("article.job .badge")).to_have_text("paused")
    log.evaluate("log => { log.scrollTop = 0 }")
    page.get_by_role("button", name="Resume").click()

    jump = page.get_by_role("button", name="Jump to the newest")
    expect(jump).to_be_visible()
    assert log.evaluate("log => log.scrollTop") == 0
    jump.click()
    assert log.evaluate(at_end)
    expect(jump).to_be_hidden()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("article.job .badge")).to_have_text("cancelled")


def test_tabs_of_one_browser_share_one_stream(
    context: BrowserContext, page: Page, complaints: list[str], files: FileServer, shared_stack: Stack
) -> None:
    def readers() -> int:
        text = shared_stack.request("GET", "/metrics").text
        return int(float(re.findall(r"^rbee_stream_readers (\S+)", text, re.MULTILINE)[0]))

    files.add("shared.gguf", model(1000))
    shared_stack.wait_state(shared_stack.submit("model_download", model=files.url("none.gguf")), "failed")
    wait_for(
        lambda: readers() == 0, "the streams of earlier tests are closed, which a write to them finds out"
    )
    second = context.new_page()
    listen(second, complaints)
    page.goto("/")
    second.goto("/jobs")
    wait_for(lambda: readers() == 1, "the shared stream is open")

    start(page, files.url("shared.gguf"))

    expect(card_of(second, "shared.gguf").locator(".badge")).to_have_text("completed")
    assert readers() == 1


def test_a_wrong_field_says_so_beside_it_and_keeps_what_was_typed(page: Page, complaints: list[str]) -> None:
    page.goto("/")
    page.get_by_text("Revision and checksum").click()
    page.get_by_label("SHA-256").fill("abc")

    page.get_by_label("Model", exact=True).fill("../../etc/passwd")
    page.get_by_role("button", name="Download", exact=True).click()

    field = page.get_by_label("Model", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_value("../../etc/passwd")
    expect(page.locator("#model-problem")).to_contain_text("must look like org/repo")
    expect(page.locator("#sha256-problem")).to_contain_text("64 hexadecimal digits")
    expect(page.get_by_label("SHA-256")).to_have_value("abc")
    forgive(complaints)


def test_a_failed_download_says_what_to_do(page: Page, files: FileServer) -> None:
    start(page, files.url("missing.gguf"))

    card = card_of(page, "missing.gguf")
    expect(card.locator(".badge")).to_have_text("failed")
    expect(card.locator(".trouble")).to_contain_text("404")


def test_a_download_is_started_and_paused_with_the_keyboard_alone(page: Page, files: FileServer) -> None:
    files.add("keys.gguf", model(20 * MEGABYTE), rate=MEGABYTE)
    page.goto("/")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Model", exact=True)).to_be_focused()
    page.keyboard.type(files.url("keys.gguf"))
    page.keyboard.press("Enter")
    card = card_of(page, "keys.gguf")
    expect(card.locator(".badge")).to_have_text("running")
    pause = card.get_by_role("button", name="Pause")
    for _ in range(30):
        page.keyboard.press("Tab")
        if pause.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Space")

    expect(card.locator(".badge")).to_have_text("paused")
    card.get_by_role("button", name="Cancel").click()
    expect(card.locator(".badge")).to_have_text("cancelled")
