"""Labels of a hive as one line of text: `room=cellar, gpu=4090`."""

from shared.errors import InvalidRequest


def labels_of(text: str) -> dict[str, str]:
    """Raises InvalidRequest with one sentence."""
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or not name or not value or len(part) > 200 or not part.isprintable():
            raise InvalidRequest("Write labels as name=value, parted by commas.")
        labels[name] = value
    return labels


def written(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())
