"""Masks secrets in whatever leaves a hive or enters a log."""

import re
from collections.abc import Iterable

MASK = "•••"

_IN_QUERY = re.compile(r"(?i)([?&](?:token|key|api_key|access_token|signature|x-amz-[a-z-]+)=)[^&\s\"'<>]+")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_KNOWN_SHAPES = re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|rbee_[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,})")
_IN_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@")
_MIN_SECRET = 6
"""Shorter known secrets are not masked: they would blank half of every sentence."""


class Redactor:
    """Masks known secrets and everything that has the shape of one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= _MIN_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MASK, text)
        text = _IN_QUERY.sub(rf"\1{MASK}", text)
        text = _BEARER.sub(rf"\1 {MASK}", text)
        text = _IN_URL.sub(rf"\1{MASK}@", text)
        return _KNOWN_SHAPES.sub(MASK, text)

    def deep(self, value: object) -> object:
        """The same for every string inside dicts and lists."""
        match value:
            case str():
                return self(value)
            case dict():
                return {key: self.deep(item) for key, item in value.items()}
            case list() | tuple():
                return [self.deep(item) for item in value]
        return value


redact = Redactor()
"""Masks by shape alone, where no secret is known."""
