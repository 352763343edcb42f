"""What a fetched file is, by its first bytes."""

import re
from pathlib import Path

from hive.gguf_header import read_header
from hive.model_entry import Llm, ModelType
from shared.errors import JobFailed

_MODELS = (".gguf", ".safetensors")
_PAGE = re.compile(rb"\s*(?:<!doctype|<html|<\?xml|\{\s*\"(?:error|message|detail))", re.IGNORECASE)


def refuse_other_contents(path: Path, name: str) -> None:
    """Raises JobFailed(not_a_model) where a page or an error message came in place of a model; deletes it."""
    if not name.lower().endswith(_MODELS):
        return
    with path.open("rb") as file:
        head = file.read(64)
    if _PAGE.match(head):
        path.unlink()
        raise JobFailed(
            f"What came for {name} is a web page or an error message, not a model.",
            code="not_a_model",
            hint="Open the address in a browser; it may ask for a log-in or have moved.",
        )


def model_type_of(path: Path) -> ModelType | None:
    """From the GGUF header; None for other formats and for headers that cannot be read."""
    if path.suffix.lower() != ".gguf":
        return None
    try:
        header = read_header(path)
    except (OSError, ValueError):
        return None
    return Llm(
        architecture=header.architecture,
        parameter_count=header.size_label,
        context_length=header.context_length,
    )
