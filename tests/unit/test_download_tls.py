"""TLS and proxies: certificates are checked, stops reach into a handshake, tunnels carry the bytes."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hive.download import Origins
from hive.download import connection as connections
from hive.download.proxies import Proxy, proxy_for
from hive.stop import Reason, Stopped
from shared.errors import JobFailed
from tests.hubs.download_rig import MIB, Rig, noise, planned
from tests.hubs.file_server import FileServer

BODY = noise(9 * MIB)


pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture(autouse=True)
def no_memory_of_other_certificates() -> Iterator[None]:
    connections.trust.cache_clear()
    yield
    connections.trust.cache_clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server(certificate: Path) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FileServer(tls=context) as server:
        yield server


def test_a_file_comes_over_tls(
    server: FileServer, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.add("m", BODY)
    rig = Rig(tmp_path)

    rig.fetch(planned(server.url("m"), BODY))

    assert rig.read() == BODY


def test_a_certificate_that_nobody_vouches_for_is_refused(server: FileServer, tmp_path: Path) -> None:
    served = server.add("m", BODY)

    with pytest.raises(JobFailed) as failed:
        Rig(tmp_path).fetch(planned(server.url("m"), BODY))

    assert failed.value.code == "bad_certificate"
    assert served.requests == []


def test_a_stop_ends_a_tls_stream(
    server: FileServer, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.add("m", BODY, rate=MIB)
    rig = Rig(tmp_path)
    job = rig.fetch_until(MIB, planned(server.url("m"), BODY))

    rig.stop.set(Reason.CANCEL)

    assert server.wait_until_idle(5)
    with pytest.raises(Stopped):
        list(job)


def test_a_stop_reaches_a_handshake_that_is_never_answered(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        rig = Rig(tmp_path)
        job = rig.start(planned(f"https://127.0.0.1:{mute.getsockname()[1]}/m", BODY))
        accepted = threading.Thread(target=lambda: (mute.accept(), rig.stop.set(Reason.CANCEL)))
        accepted.start()

        with pytest.raises(Stopped):
            list(job)

        accepted.join()


class Tunnel:
    """A proxy that connects every CONNECT to one fixed address, so that public names need no network."""

    def __init__(self, backend: str) -> None:
        host, port = backend.rsplit(":", 1)
        self.backend = (host, int(port))
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:p%40ss@127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.asked.append(head)
        with socket.create_connection(self.backend) as backend, client:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(backend, client), daemon=True)
            back.start()
            _pump(client, backend)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_https_goes_through_the_proxy_of_the_environment(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("m", BODY)
    tunnel = Tunnel(server.host)
    monkeypatch.setenv("https_proxy", tunnel.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    rig = Rig(tmp_path, origins=Origins())

    with pytest.raises(JobFailed) as failed:
        rig.fetch(planned("https://93.184.216.34/m", BODY))
    tunnel.close()

    assert failed.value.code == "bad_certificate"
    assert tunnel.asked[0].startswith(b"CONNECT 93.184.216.34:443 HTTP/1.1\r\nHost: 93.184.216.34:443\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in tunnel.asked[0]


def test_the_environment_names_proxies_as_curl_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "NO_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)

    assert proxy_for("https", "a.example") is None

    monkeypatch.setenv("https_proxy", "proxy.example:8888")
    monkeypatch.setenv("no_proxy", "b.example,.internal")

    assert proxy_for("https", "a.example") == Proxy("proxy.example", 8888)
    assert proxy_for("https", "b.example") is None
    assert proxy_for("https", "x.internal") is None
    assert proxy_for("http", "a.example") is None
