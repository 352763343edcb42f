"""The download form: what was typed, what is wrong with it, and where a model can go."""

from dataclasses import dataclass, field
from typing import Any

from shared.errors import RbeeError
from shared.routing import CAPABILITIES
from web.machines import machines_of

EXAMPLES = (
    ("ggml-org/models:tinyllamas/stories260K.gguf", "a toy of 1 MB, to see it work"),
    ("Qwen/Qwen2.5-0.5B-Instruct-GGUF", "a small chat model"),
)
_WORDS = {
    "revision": "is not a branch, tag or commit",
    "sha256": "must be the 64 hexadecimal digits of a SHA-256",
}


@dataclass
class DownloadForm:
    """`problems` maps a field to its message; `problem` is about the whole."""

    model: str = ""
    target: str = ""
    revision: str = ""
    sha256: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    problem: RbeeError | None = None
    examples = EXAMPLES

    @classmethod
    def of(cls, given: Any) -> "DownloadForm":
        """From a form or a query string."""
        names = ("model", "target", "revision", "sha256")
        return cls(**{name: given.get(name, "").strip() for name in names})

    def body(self) -> dict[str, Any]:
        """The body of `POST /v1/jobs`."""
        optional = {"revision": self.revision, "sha256": self.sha256}
        return {
            "operation": "model_download",
            "model": self.model,
            **{name: value for name, value in optional.items() if value},
            "target": _target(self.target),
        }

    def refused(self, error: RbeeError) -> "DownloadForm":
        """The same form with the error beside its fields."""
        for detail in error.details or []:
            name = str(detail.get("field", "")).split(".")[0]
            if name in {"model", "target", "revision", "sha256"}:
                self.problems[name] = _WORDS.get(name) or _sentence(name, str(detail["message"]))
        if not self.problems:
            self.problem = error
        return self


def targets(fleet: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (value, words) for the select; `fleet` are hive views."""
    machines = machines_of(fleet)
    found = {name for hive in machines if hive["online"] for name in hive["capabilities"]}
    groups = [
        (
            "One machine",
            [
                (f"hive:{hive['id']}", hive["name"] if hive["online"] else f"{hive['name']} (offline: waits)")
                for hive in sorted(machines, key=lambda hive: not hive["online"])
            ],
        ),
        (
            "The best machine with",
            [
                (f"capability:{name}", name if name in found else f"{name} (none online: waits)")
                for name in sorted(CAPABILITIES, key=lambda name: name not in found)
            ],
        ),
        ("Everywhere", [("all", "all machines it fits on")]),
    ]
    return [(name, choices) for name, choices in groups if choices]


def _target(chosen: str) -> dict[str, Any] | None:
    kind, _, value = chosen.partition(":")
    if kind == "all":
        return {"all": True}
    return {kind: value} if kind in {"hive", "capability"} else None


def _sentence(name: str, message: str) -> str:
    if name == "target":
        return "Choose where the model should go."
    return message
