"""Where models come from: one file a vendor, one table; the first that supports an id plans it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hive.artifacts import VendorSource
from hive.vendors.huggingface import ENDPOINT, HuggingFaceVendor
from hive.vendors.local import LocalVendor
from hive.vendors.pace import Pace
from hive.vendors.url import UrlVendor
from shared.errors import JobFailed

__all__ = ["ENDPOINT", "Pace", "Vendors", "standard_vendors"]


class Vendors:
    """The table, in its order."""

    def __init__(self, sources: Sequence[VendorSource]) -> None:
        self._sources = tuple(sources)

    def supporting(self, model: str) -> VendorSource:
        """Raises JobFailed(no_vendor)."""
        for source in self._sources:
            if source.supports(model):
                return source
        raise JobFailed(
            f"No vendor of this hive knows {model}.",
            code="no_vendor",
            hint="Use org/repo, org/repo:file.gguf, https://host/file or file:///path.",
        )

    def named(self, name: str) -> VendorSource:
        """The maker of a stored plan. Raises JobFailed(no_vendor)."""
        for source in self._sources:
            if source.name == name:
                return source
        raise JobFailed(
            f"This hive has no vendor {name}.", code="no_vendor", hint="Update rbee on this hive."
        )


def standard_vendors(
    *, hub_endpoint: str = ENDPOINT, local_roots: Iterable[Path] = (), pace: Pace | None = None
) -> Vendors:
    return Vendors((HuggingFaceVendor(hub_endpoint, pace), UrlVendor(), LocalVendor(local_roots)))
