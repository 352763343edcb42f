"""A certificate that nobody signed is trusted by its fingerprint, and by nothing else."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.hive_join import JoinToken, agreed
from cli.queen_api import QueenApi
from cli.queens import Queen
from queen.certificate import certificate_fingerprint
from shared.errors import InvalidRequest, Unavailable
from tests.unit.cli_queen import Answer, ScriptedQueen


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key in one file, for a name that is not ours."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somewhere.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


@pytest.fixture
def queen(certificate: Path) -> Iterator[ScriptedQueen]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedQueen(context) as server:
        server.on("GET", "/v1/hives", Answer(body={"items": []}))
        yield server


def test_the_pinned_certificate_is_trusted(queen: ScriptedQueen, certificate: Path) -> None:
    api = QueenApi(Queen(queen.url, "key", certificate_fingerprint(certificate)))

    assert api.get("/v1/hives") == {"items": []}


@pytest.mark.parametrize(
    ("pinned", "words"), [("ab" * 32, "not the one that was pinned"), (None, "not trusted")]
)
def test_any_other_is_refused_before_the_key_is_sent(
    queen: ScriptedQueen, pinned: str | None, words: str
) -> None:
    with pytest.raises(Unavailable, match=words):
        QueenApi(Queen(queen.url, "key", pinned)).get("/v1/hives")

    assert queen.asked == []


def test_a_join_token_is_good_for_its_own_address_or_where_its_certificate_answers() -> None:
    pinned = JoinToken("https://10.0.0.1:7835", "ab" * 32, "secret")
    bare = JoinToken("http://10.0.0.1:7835", None, "secret")

    assert agreed("https://queen.example:7835", pinned).certificate == "ab" * 32
    assert agreed("http://10.0.0.1:7835", bare).url == "http://10.0.0.1:7835"
    for url, token in (("http://10.0.0.2:7835", bare), ("http://10.0.0.1:7835", pinned)):
        with pytest.raises(InvalidRequest, match="The token is for"):
            agreed(url, token)
