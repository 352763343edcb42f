"""Reading requests: bodies against models, query parameters against shapes."""

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from queen import strict_json
from queen.guard import is_hive
from queen.job_list import MAX_LIMIT
from shared.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])


def accepts(model: type[BaseModel]) -> Callable[[View], View]:
    """Names the body of a view, for the API description."""

    def mark(view: View) -> View:
        view.rbee_body = model  # type: ignore[attr-defined]
        return view

    return mark


def json_body() -> object:
    """The parsed body; {} when there is none. Raises InvalidRequest. What hives pass on is mended instead of refused."""
    raw = request.get_data(cache=True)
    if not raw:
        return {}
    try:
        return strict_json.loads(raw, mend=is_hive())
    except ValueError as error:
        raise InvalidRequest("The body is not valid JSON.", code="invalid_json") from error


def body_as(model: type[Model]) -> Model:
    """The body as `model`; every field error at once, no value repeated."""
    try:
        return model.model_validate(json_body())
    except ValidationError as error:
        details = [
            {"field": ".".join(map(str, problem["loc"])), "message": problem["msg"]}
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise InvalidRequest("The request has fields that cannot be used.", details=details) from error


def limit_param() -> int:
    """`limit`: 1 to 200, 50 when absent."""
    text = request.args.get("limit", "50")
    if not text.isascii() or not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidRequest(
            "The limit cannot be used.", details=[{"field": "limit", "message": f"must be 1 to {MAX_LIMIT}"}]
        )
    return int(text)


def since_param() -> float | None:
    """`since`: seconds since the epoch, or ISO 8601 (UTC when it names no zone)."""
    text = request.args.get("since")
    if not text:
        return None
    with suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds):
            return seconds
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        details = [{"field": "since", "message": "must be ISO 8601 or seconds since the epoch"}]
        raise InvalidRequest("The time cannot be used.", details=details) from error
