"""Secrets are masked by what is known of them and by their shape; the rest of a sentence stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redaction import MASK, Redactor, redact


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET https://h/f?token=abc&x=1", f"GET https://h/f?token={MASK}&x=1"),
        ("https://h/f?a=1&KEY=abc", f"https://h/f?a=1&KEY={MASK}"),
        ("?X-Amz-Signature=abc&y=1", f"?X-Amz-Signature={MASK}&y=1"),
        ("Authorization: Bearer abcdef123", f"Authorization: Bearer {MASK}"),
        ("basic dXNlcjpwYXNz", f"basic {MASK}"),
        ("https://user:pass@host/x", f"https://{MASK}@host/x"),
        ("hf_" + "a" * 20 + " is yours", f"{MASK} is yours"),
        ("rbee_hive_" + "a" * 43, MASK),
        ("ghp_" + "a" * 36, MASK),
        ("Downloads org/repo, 3 of 4 GB, key=value.", "Downloads org/repo, 3 of 4 GB, key=value."),
    ],
)
def test_shapes(text: str, masked: str) -> None:
    assert redact(text) == masked


def test_known_secrets_wherever_they_stand_the_longest_first() -> None:
    redactor = Redactor(["secret", "secret-longer", "abc"])

    assert redactor("xsecret-longery secret abc") == f"x{MASK}y {MASK} abc"
    assert redactor.deep({"a": ["secret", 1, ("secret",)]}) == {"a": [MASK, 1, [MASK]]}


@given(st.text(max_size=200), st.text("abcdefXYZ0123456789.+*", min_size=6, max_size=30))
def test_a_known_secret_never_comes_through(text: str, secret: str) -> None:
    assert secret not in Redactor([secret])(f"{text}{secret}{text}").replace(MASK, "\x00")
