"""Quantisation labels, as people who publish GGUF files really write them.

`Model-Q4_K_M.gguf`, `model.q4_k_m.gguf`, `UD-Q4_K_XL`, `IQ2_XXS`, `mxfp4`, `BF16/…-00001-of-00002.gguf`:
the label stands last in the file's name, or it is the name of a folder above it.
"""

import re

PREFERENCE = ("Q4_K_M", "Q5_K_M", "Q4_0", "Q5_0", "Q8_0", "F16")
"""What is taken of a repository when nobody asks for a file, best first."""

SHARD = re.compile(
    r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})\.(?P<ext>gguf|safetensors)", re.IGNORECASE
)

_LABEL = re.compile(
    r"""(?<![A-Za-z0-9])
    (?P<dynamic>UD[-_])?
    (?P<label>
        IQ[1-8][-_](?:XXS|XS|NL|KSS|KS|KT|KL|K|S|M)(?:[-_](?:XL|S|M|L|R[48]))?
      | Q[1-9][-_]K(?:[-_](?:XXS|XS|XXL|XL|S|M|L|P))?
      | Q4[-_]0[-_][48][-_][48]
      | T?Q[1-9][-_][01](?:[-_](?:XL|L))?
      | MXFP4(?:[-_]MOE)?
      | NVFP4
      | BF16 | FP?16 | FP?32 | FP8
    )
    (?![A-Za-z0-9])""",
    re.IGNORECASE | re.VERBOSE,
)


def label_of(path: str) -> str | None:
    """The label of a file: the last one in its name, else in the nearest folder that has one."""
    shard = SHARD.fullmatch(path)
    stem = shard["stem"] if shard else path.rsplit(".", 1)[0]
    for part in reversed(stem.split("/")):
        if labels := [_canonical(match) for match in _LABEL.finditer(part)]:
            return labels[-1]
    return None


def as_label(text: str) -> str | None:
    """`q4-k-m` → `Q4_K_M`; None when the whole text is no label."""
    match = _LABEL.fullmatch(text.strip())
    return _canonical(match) if match else None


def base_of(label: str) -> str:
    """`UD-Q4_K_XL` → `Q4_K_XL`."""
    return label.removeprefix("UD-")


def bits_of(label: str) -> int | None:
    """Nominal bits a weight; None for a label without a number of bits."""
    match = re.search(r"\d+", base_of(label))
    return int(match[0]) if match else None


def _canonical(match: re.Match[str]) -> str:
    label = match["label"].upper().replace("-", "_").replace("FP16", "F16").replace("FP32", "F32")
    return f"UD-{label}" if match["dynamic"] else label
