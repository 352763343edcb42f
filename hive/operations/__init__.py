"""What a hive can do: one domain function a file, one table, keyed by the names of `shared.operations`."""

from collections.abc import Callable

from hive.operations.model_delete import model_delete
from hive.operations.model_download import model_download
from hive.operations.model_verify import model_verify
from hive.operations.work import Narrated, Work

__all__ = ["OPERATIONS", "Narrated", "Work"]

OPERATIONS: dict[str, Callable[[Work], Narrated]] = {
    "model_download": model_download,
    "model_delete": model_delete,
    "model_verify": model_verify,
}
