"""Redirects are followed by the downloader itself: no credentials travel, links may expire, no forbidden place."""

from pathlib import Path

import pytest

from hive.download import Origins
from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import Exchange, FileServer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

BODY = noise(10 * MIB)


def failure(rig: Rig, server: FileServer, **more: object) -> JobFailed:
    with pytest.raises(JobFailed) as failed:
        rig.fetch(planned(server.url("m"), BODY, **more))
    assert failed.value.hint
    assert not (rig.folder / "model.gguf").exists()
    return failed.value


def test_an_expired_link_is_resolved_anew(server: FileServer, tmp_path: Path) -> None:
    valid = {"key": "a"}
    with FileServer() as store:
        front = server.add(
            "m", b"", hook=lambda exchange: exchange.redirect(store.url(f"blob?key={valid['key']}"))
        )

        def presigned(exchange: Exchange) -> bool | None:
            if exchange.request.number == 2:
                valid["key"] = "b"
            return exchange.reply(403) if exchange.request.path != f"/blob?key={valid['key']}" else None

        store.add("blob", BODY, hook=presigned, rate=20 * MIB)
        rig = Rig(tmp_path)

        rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY
    assert rig.said("has expired, asks for a new one")
    assert len(front.requests) <= 10


def test_a_redirect_to_another_host_gets_no_credentials(server: FileServer, tmp_path: Path) -> None:
    with FileServer() as store:
        blob = store.add("blob", BODY)
        front = server.add("m", b"", hook=lambda exchange: exchange.redirect("/deeper/m"))
        deeper = server.add("deeper/m", b"", hook=lambda exchange: exchange.redirect(store.url("blob"), 307))

        Rig(tmp_path).fetch(planned(server.url("m"), BODY), headers={"Authorization": "Bearer secret"})

    assert {request.headers.get("Authorization") for request in [*front.requests, *deeper.requests]} == {
        "Bearer secret"
    }
    assert {request.headers.get("Authorization") for request in blob.requests} == {None}


def test_a_redirect_in_a_circle_ends(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", b"", hook=lambda exchange: exchange.redirect("/m"))

    assert failure(Rig(tmp_path), server).code == "redirect_loop"
    assert len(served.requests) == 11


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://h/x", "http://[bad/x"]
)
def test_a_redirect_to_a_forbidden_place_fails(server: FileServer, tmp_path: Path, location: str) -> None:
    server.add("m", b"", hook=lambda exchange: exchange.redirect(location))
    rig = Rig(tmp_path, origins=Origins([server.host]))

    assert failure(rig, server).code == "forbidden_address"
