"""TLS from the first start: the local hive and a joining one trust the queen's certificate by its fingerprint alone."""

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.acceptance.test_first_slice import slow_model
from tests.hubs.file_server import FileServer
from tests.stack import Stack


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a queen")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


def test_a_fleet_works_over_tls(tmp_path: Path, files: FileServer, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with Stack(tmp_path / "stack", certificate=cert, RBEE_TLS_CERT=str(cert), RBEE_TLS_KEY=str(key)) as stack:
        second = stack.add_hive(tmp_path / "second", "second")
        model, _ = slow_model(files, size=1 << 20, rate=None)

        job = stack.wait_state(stack.submit("model_download", {"hive": second}, model=model), "completed")

    assert job["hive_id"] == second
    assert stack.login_url.startswith("https://")
