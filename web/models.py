"""The models of the fleet, by model: which hives have it, in which state."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Copy:
    """One model on one hive; `item` is the artifact as its hive told it."""

    hive: dict[str, Any]
    item: dict[str, Any]


@dataclass
class FleetModel:
    id: str
    name: str
    copies: list[Copy] = field(default_factory=list)

    @property
    def size(self) -> int | None:
        """Bytes, as the copy that knows best says."""
        return max((copy.item.get("size") or 0 for copy in self.copies), default=0) or None

    @property
    def available(self) -> int:
        """How many hives have it complete."""
        return sum(copy.item["status"] == "available" for copy in self.copies)

    @property
    def quantization(self) -> str | None:
        return next((q for copy in self.copies if (q := copy.item.get("quantization"))), None)

    @property
    def kind(self) -> str | None:
        """Such as `llama 7B, 4,096 tokens`."""
        for copy in self.copies:
            if model_type := copy.item.get("model_type"):
                return _kind(model_type)
        return None


def models_of(fleet: list[dict[str, Any]]) -> list[FleetModel]:
    """From hive views, by name."""
    found: dict[str, FleetModel] = {}
    for hive in fleet:
        for item in hive["artifacts"]:
            if item["kind"] == "model":
                model = found.setdefault(item["id"], FleetModel(item["id"], item.get("name") or item["id"]))
                model.copies.append(Copy(hive, item))
    return sorted(found.values(), key=lambda model: (model.name.lower(), model.id))


def _kind(model_type: dict[str, Any]) -> str | None:
    if model_type.get("kind") == "stable_diffusion":
        return f"Stable Diffusion {model_type.get('version', '')}".strip()
    context = model_type.get("context_length")
    parts = [
        " ".join(filter(None, [model_type.get("architecture"), model_type.get("parameter_count")])),
        f"{context:,} tokens" if isinstance(context, int) else None,
    ]
    return ", ".join(part for part in parts if part) or None
