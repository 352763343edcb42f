"""Every page: logging in, narrow screens, no script, what is shown once."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.screen import MEGABYTE, PHONE, card_of, forgive, model
from tests.hubs.file_server import FileServer
from tests.stack import Stack


def new_link(stack: Stack) -> str:
    return str(stack.post("/v1/login-tokens").json()["url"])


def test_a_login_link_works_once_and_then_says_how_to_get_another(
    browser: Browser, shared_stack: Stack
) -> None:
    link = new_link(shared_stack)
    first, second = browser.new_context(), browser.new_context()

    shared_stack.session.get(link, headers={"Authorization": ""})  # a prefetch redeems nothing
    friend = first.new_page()
    friend.goto(link)
    friend.wait_for_url(f"{shared_stack.url}/")
    stranger = second.new_page()
    stranger.goto(link)

    expect(stranger.get_by_role("alert")).to_contain_text("rbee login")
    stranger.goto(f"{shared_stack.url}/jobs?state=failed")
    assert stranger.url.endswith("/login?next=%2Fjobs%3Fstate%3Dfailed")
    stranger.get_by_label("Or paste the admin token").fill(shared_stack.token)
    stranger.get_by_role("button", name="Log in").click()
    stranger.wait_for_url(f"{shared_stack.url}/jobs?state=failed")
    cookie = second.cookies()[0]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    stranger.get_by_role("button", name="Log out").click()
    stranger.goto(shared_stack.url)
    assert stranger.url.endswith("/login")
    first.close()
    second.close()


def test_no_page_scrolls_sideways_on_a_phone(page: Page, files: FileServer, shared_stack: Stack) -> None:
    name = "a-" + "very-long-name-without-a-blank-" * 5 + "Q4_K_M.gguf"
    files.add(name, model(1000))
    job_id = shared_stack.submit("model_download", model=files.url(name))
    shared_stack.wait_state(job_id, "completed")
    hive_id = shared_stack.workers()[0]["id"]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]

    for path in ("/", "/jobs", f"/jobs/{job_id}", "/hives", f"/hives/{hive_id}", "/models", "/settings"):
        page.goto(path)
        page.wait_for_function("!document.querySelector('[data-theme-toggle]').hidden")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{path} is {width} pixels wide"
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, a')].filter(e => !e.textContent.trim() && !e.ariaLabel).length"
        )
        assert unnamed == 0, f"{path} has controls without a name"


def test_a_download_is_started_and_cancelled_without_javascript(
    browser: Browser, shared_stack: Stack, logged_in: dict, files: FileServer
) -> None:
    files.add("plain.gguf", model(20 * MEGABYTE), rate=MEGABYTE)
    context = browser.new_context(
        storage_state=logged_in, base_url=shared_stack.url, java_script_enabled=False
    )
    page = context.new_page()
    page.goto("/")

    page.get_by_label("Model", exact=True).fill("no such shape")
    page.get_by_role("button", name="Download", exact=True).click()
    expect(page.locator("#model-problem")).to_be_visible()
    page.get_by_label("Model", exact=True).fill(files.url("plain.gguf"))
    page.get_by_role("button", name="Download", exact=True).click()

    assert re.search(r"/jobs/job-\w+$", page.url)
    job_id = page.url.rpartition("/")[2]
    shared_stack.wait_state(job_id, "running")
    page.goto("/jobs")
    card_of(page, "plain.gguf").get_by_role("button", name="Cancel").click()
    assert page.url.endswith("/jobs")
    shared_stack.wait_state(job_id, "cancelled")
    page.reload()
    expect(card_of(page, "plain.gguf").locator(".badge")).to_have_text("cancelled")
    context.close()


def test_a_key_is_shown_once_and_a_secret_never(page: Page, shared_stack: Stack) -> None:
    page.goto("/settings")

    page.get_by_label("New value of HF_TOKEN").fill("hf_verysecret")
    page.locator(".secret", has_text="HF_TOKEN").get_by_role("button", name="Set").click()
    expect(page.locator(".secret", has_text="HF_TOKEN").locator(".badge")).to_have_text("set")
    assert "hf_verysecret" not in page.content()
    page.get_by_label("Name of a new key").fill("a script")
    page.get_by_role("button", name="Make a key").click()
    key = page.locator("#new-key").inner_text()
    assert shared_stack.session.get(
        f"{shared_stack.url}/v1/jobs", headers={"Authorization": f"Bearer {key}"}
    ).ok
    page.goto("/settings")

    assert key not in page.content()
    page.get_by_text("Revoke…").click()
    page.get_by_role("button", name="Revoke a script").click()
    expect(page.locator("#keys")).to_contain_text("There is no key.")
    page.get_by_role("button", name="Remove HF_TOKEN").click()
    expect(page.locator(".secret", has_text="HF_TOKEN").locator(".badge")).to_have_text("not set")


def test_a_join_command_is_made_and_a_hive_renamed_everywhere(page: Page, shared_stack: Stack) -> None:
    hive = shared_stack.workers()[0]
    page.goto("/hives")

    page.get_by_role("button", name="Make a join command").click()
    expect(page.locator("#join-command")).to_contain_text(f"rbee hive join {shared_stack.url} ")
    watcher = page.context.new_page()
    watcher.goto("/")
    page.goto(f"/hives/{hive['id']}")
    page.get_by_role("textbox", name="Name", exact=True).fill("renamed")
    page.get_by_role("textbox", name="Labels").fill("room=cellar")
    page.get_by_role("button", name="Save").click()

    expect(watcher.locator("#dashboard-hives article")).to_contain_text("renamed")
    expect(watcher.locator("#dashboard-hives article")).to_contain_text("room=cellar")
    shared_stack.request("PATCH", f"/v1/hives/{hive['id']}", json={"name": hive["name"], "labels": {}})


def test_a_wrong_label_says_so_beside_its_field(
    page: Page, complaints: list[str], shared_stack: Stack
) -> None:
    page.goto(f"/hives/{shared_stack.workers()[0]['id']}")

    page.get_by_role("textbox", name="Labels").fill("nonsense")
    page.get_by_role("button", name="Save").click()

    expect(page.locator("#labels-problem")).to_be_visible()
    expect(page.get_by_role("textbox", name="Labels")).to_have_value("nonsense")
    forgive(complaints)


def test_filters_live_in_the_url(page: Page) -> None:
    page.goto("/jobs")

    page.get_by_role("link", name="failed").first.click()
    page.get_by_role("link", name="model verify").click()

    assert page.url.endswith("/jobs?state=failed&operation=model_verify")
    expect(page.get_by_text("No job fits these filters.")).to_be_visible()
    page.go_back()
    assert page.url.endswith("/jobs?state=failed")


def test_a_model_is_verified_and_deleted_from_its_card(
    page: Page, files: FileServer, shared_stack: Stack
) -> None:
    files.add("brief.gguf", model(1000))
    job_id = shared_stack.submit("model_download", model=files.url("brief.gguf"))
    shared_stack.wait_state(job_id, "completed")
    page.goto("/models")

    card = page.locator("article.model", has_text="brief.gguf")
    card.get_by_role("button", name="Verify").click()
    expect(page.locator("article.job .badge")).to_have_text("completed")
    page.goto("/models")
    card.get_by_text("Delete…").click()
    card.get_by_role("button", name="Delete").click()
    expect(page.locator("article.job .badge")).to_have_text("completed")
    page.goto("/models")

    expect(card).to_have_count(0)


def test_a_chosen_theme_stays(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()

    page.goto("/jobs")

    expect(page.get_by_role("button", name="Theme: Dark")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


@pytest.mark.parametrize("path", ["/nowhere", "/jobs/job-0", "/hives/none"])
def test_an_error_has_a_way_out(page: Page, complaints: list[str], path: str) -> None:
    page.goto(path)

    page.get_by_role("link", name="To the dashboard").click()

    expect(page.locator("#download-title")).to_be_visible()
    forgive(complaints)
