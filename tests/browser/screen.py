"""What the browser tests do and see on every page."""

from playwright.sync_api import Locator, Page

MEGABYTE = 1_000_000
PHONE = {"width": 360, "height": 740}


def model(size: int) -> bytes:
    return b"GGUF" + bytes(size - 4)


def start(page: Page, url: str) -> None:
    page.goto("/")
    page.get_by_label("Model", exact=True).fill(url)
    page.get_by_role("button", name="Download", exact=True).click()


def card_of(page: Page, name: str) -> Locator:
    return page.locator("article.job", has_text=name)


def listen(page: Page, complaints: list[str]) -> None:
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))


def forgive(complaints: list[str]) -> None:
    """Drops what the browser says of requests that were refused or cut on purpose."""
    complaints[:] = [said for said in complaints if not said.startswith("Failed to load resource")]
