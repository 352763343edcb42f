"""Vendors of single files: URLs and folders of this machine; and the table of vendors."""

from pathlib import Path

import pytest

from hive.artifacts import VendorSource
from hive.stop import Stop
from hive.vendors import Vendors, standard_vendors
from hive.vendors.local import LocalVendor
from hive.vendors.url import UrlVendor
from shared.errors import JobFailed
from shared.plan import Plan


def plan(vendor: VendorSource, model: str, revision: str | None = None) -> Plan:
    talk = vendor.plan(model, revision, secrets={}, stop=Stop())
    while True:
        try:
            next(talk)
        except StopIteration as end:
            return end.value


def code_of(vendor: VendorSource, model: str, revision: str | None = None) -> str:
    with pytest.raises(JobFailed) as caught:
        plan(vendor, model, revision)
    return caught.value.code


@pytest.fixture
def vendors(tmp_path: Path) -> Vendors:
    return standard_vendors(local_roots=[tmp_path])


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("org/repo", "huggingface"),
        ("org/repo:file.gguf", "huggingface"),
        ("https://host/file.gguf", "url"),
        ("http://host/file.gguf", "url"),
        ("file:///models/file.gguf", "local"),
    ],
)
def test_the_first_vendor_that_supports_an_id_is_taken(vendors: Vendors, model: str, name: str) -> None:
    assert vendors.supporting(model).name == name
    assert vendors.named(name) is vendors.supporting(model)


@pytest.mark.parametrize("model", ["civitai:101055", "github:owner/repo@v1:asset", "nothing", "../x"])
def test_an_id_of_nobody_is_refused(vendors: Vendors, model: str) -> None:
    with pytest.raises(JobFailed, match="No vendor"):
        vendors.supporting(model)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/b/tiny.Q4_K_M.gguf?download=true#top", "tiny.Q4_K_M.gguf"),
        ("https://host/a%20b.gguf", "a b.gguf"),
        ("https://host/..%2F..%2Fetc%2Fpasswd", "_.._etc_passwd"),
        ("https://host/.hidden", "hidden"),
        ("https://host/%00%0a.gguf", "__.gguf"),
        ("https://host/..", "model"),
        (f"https://host/{'x' * 400}.gguf", f"{'x' * 195}.gguf"),
    ],
)
def test_a_url_becomes_one_tame_file_name(url: str, name: str) -> None:
    [file] = plan(UrlVendor(), url).files

    assert file.path == name
    assert file.url == url.split("#", maxsplit=1)[0]


def test_a_url_has_a_quantisation_but_no_size_and_no_revision() -> None:
    made = plan(UrlVendor(), "https://host/tiny.Q4_K_M.gguf")

    assert (made.quantization, made.size, made.revision) == ("Q4_K_M", None, None)
    assert code_of(UrlVendor(), "https://host/tiny.gguf", "main") == "no_revisions"


def test_pickles_are_refused() -> None:
    assert code_of(UrlVendor(), "https://host/model.ckpt") == "unsafe_format"


def test_a_local_file_is_planned_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "a b.Q8_0.gguf").write_bytes(b"GGUF1234")

    made = plan(LocalVendor([tmp_path]), f"{(tmp_path / 'a b.Q8_0.gguf').as_uri()}")

    assert [(file.path, file.size) for file in made.files] == [("a b.Q8_0.gguf", 8)]
    assert made.quantization == "Q8_0"


def test_a_local_shard_brings_its_set(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-Q8_0-0000{number}-of-00002.gguf").write_bytes(b"GGUF")

    made = plan(LocalVendor([tmp_path]), (tmp_path / "m-Q8_0-00002-of-00002.gguf").as_uri())

    assert [file.path for file in made.files] == ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"]


def test_a_missing_local_shard_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(b"GGUF")

    assert (
        code_of(LocalVendor([tmp_path]), (tmp_path / "m-00002-of-00002.gguf").as_uri()) == "incomplete_shards"
    )


def test_nothing_outside_of_the_roots_is_told_to_exist(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.gguf").write_bytes(b"GGUF")
    (inside / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    (inside / "folder").mkdir()
    vendor = LocalVendor([inside])

    assert code_of(vendor, (inside / "link.gguf").as_uri()) == "forbidden_address"
    assert code_of(vendor, (tmp_path / "secret.gguf").as_uri()) == "forbidden_address"
    assert code_of(vendor, (tmp_path / "absent.gguf").as_uri()) == "forbidden_address"
    assert code_of(vendor, (inside / "absent.gguf").as_uri()) == "file_not_found"
    assert code_of(vendor, (inside / "folder").as_uri()) == "file_not_found"
    assert code_of(LocalVendor(), (inside / "absent.gguf").as_uri()) == "forbidden_address"


def test_a_link_inside_of_the_roots_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.gguf").write_bytes(b"GGUF")
    (tmp_path / "link.gguf").symlink_to(tmp_path / "real.gguf")

    [file] = plan(LocalVendor([tmp_path]), (tmp_path / "link.gguf").as_uri()).files

    assert file.path == "link.gguf"
    assert file.url.endswith("/real.gguf")
