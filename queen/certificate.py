"""The queen's TLS certificate, as hives pin it."""

import hashlib
import ssl
from pathlib import Path


def certificate_fingerprint(path: Path | None) -> str | None:
    """SHA-256 of the first certificate of a PEM chain, in hex; None without TLS."""
    if path is None:
        return None
    pem = path.read_text()
    end = "-----END CERTIFICATE-----"
    first = pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
