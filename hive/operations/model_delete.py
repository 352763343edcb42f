"""Removes a model from this hive, with what an unfinished download of it left."""

from hive.disk import in_words
from hive.operations.work import Narrated, Work
from shared.errors import JobFailed, NotFound
from shared.narration import Line


def model_delete(work: Work) -> Narrated:
    """Result: {model, freed} in bytes. Raises JobFailed(not_found)."""
    yield Line(f"Deletes {work.name}.")
    try:
        freed = work.catalog.remove(work.model)
    except NotFound as error:
        raise JobFailed(
            f"{work.model} is not on this hive, so there is nothing to delete.",
            code="not_found",
            hint="`rbee model ls` lists the models of every hive.",
        ) from error
    yield Line(f"{work.name} is deleted; {in_words(freed)} are free again.")
    return {"model": work.model, "freed": freed}
