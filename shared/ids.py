"""Identifiers: how they are made, checked and turned into file names."""

import hashlib
import re
import secrets
import urllib.parse
import uuid

HIVE_ID = re.compile(r"[0-9a-f]{16}")
JOB_ID = re.compile(r"job-[0-9a-f]{32}")

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_HF = re.compile(r"(?:hf:)?(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?::(?P<file>.{1,512}))?")

MAX_MODEL_ID = 1024
_MAX_FILE_NAME = 240
"""Bytes; file systems take 255."""


def new_job_id() -> str:
    return f"job-{uuid.uuid4().hex}"


def new_hive_id() -> str:
    """Random and of fixed length: names are labels, ids are identity."""
    return secrets.token_hex(8)


def new_claim_id() -> str:
    return f"claim-{secrets.token_hex(12)}"


def new_boot_id() -> str:
    return f"boot-{secrets.token_hex(8)}"


def safe_id(artifact_id: str) -> str:
    """A file name for an id; injective and case-exact: percent-encoding of all but unreserved characters (RFC 3986 §2.3).

    `org/repo:a.gguf` becomes `org%2Frepo%3Aa.gguf`. A leading dot is encoded too, so no id is hidden, `.` or `..`.
    What would not fit a file name ends in the id's SHA-256 instead.
    """
    quoted = urllib.parse.quote(artifact_id, safe="")
    if quoted.startswith("."):
        quoted = f"%2E{quoted[1:]}"
    if len(quoted) <= _MAX_FILE_NAME:
        return quoted
    return f"{quoted[:160]}~{hashlib.sha256(artifact_id.encode()).hexdigest()}"


def model_id_problem(model: str) -> str | None:
    """Why `model` cannot be a model id, as a clause that follows "model …"; None when its shape is right.

    Shapes: `org/repo[:file]`, optionally `hf:` before it · `https://…` · `http://…` · `file:///…`.
    """
    if not model or len(model) > MAX_MODEL_ID:
        return f"must have 1 to {MAX_MODEL_ID} characters"
    if _UNSAFE.search(model) or model != model.strip():
        return "must not hold control characters, backslashes or outer blanks"
    scheme = model.split(":", 1)[0].lower()
    if scheme in {"http", "https", "file"}:
        return _url_problem(model, scheme)
    match = _HF.fullmatch(model)
    if not match:
        return "must look like org/repo, org/repo:file.gguf, https://host/file or file:///path"
    if is_traversal(match["repo"]) or ".." in match["repo"] or is_traversal(match["file"] or ""):
        return "must not climb out of its folder"
    return None


def is_traversal(path: str) -> bool:
    """Whether a relative path with forward slashes is absolute, empty in a part, or holds `.` or `..` parts."""
    return bool(path) and any(part in {"", ".", ".."} for part in path.split("/"))


def canonical_model_id(model: str) -> str:
    """The one spelling under which a model is stored, locked and looked up: without the optional `hf:`."""
    return model.removeprefix("hf:")


def model_name(model: str) -> str:
    """How a model is called in a sentence: the file of an address, else the id itself."""
    if "://" not in model:
        return model
    path = urllib.parse.unquote(urllib.parse.urlsplit(model).path)
    return path.rstrip("/").rsplit("/", 1)[-1] or model


def _url_problem(model: str, scheme: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(model)
        _ = parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.username or parts.password:
        return "must not carry a user name or password; store a secret instead"
    if scheme == "file":
        path = urllib.parse.unquote(parts.path)
        if parts.netloc not in {"", "localhost"} or not path.startswith("/"):
            return "must be file:/// and an absolute path"
        return "must not climb out of its folder" if ".." in path.split("/") else None
    return None if parts.hostname and len(parts.path) > 1 else "must name a host and a file"
