"""The API description, generated from the routes, their docstrings, scopes and body models (OpenAPI 3.1)."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from flask import Flask
from pydantic import BaseModel
from werkzeug.routing import Rule

from queen.guard import OPEN
from queen.principals import Scope
from queen.submission import Target
from shared.operations import OPERATIONS

PREFIXES = ("/v1/", "/api/", "/openai/", "/health", "/metrics", "/openapi.json")


SUBMIT = "jobs.submit"
"""The endpoint that takes one of the operations."""


def describe(app: Flask) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Error": _ERROR}
    for name, operation in OPERATIONS.items():
        _add(schemas, Target)
        schemas[name] = _submission(name, _schema(schemas, operation.params))
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith(PREFIXES):
            for method, described in _operations(app, rule, schemas):
                paths.setdefault(_template(rule.rule), {})[method] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "rbee", "version": version("rbee")},
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _operations(app: Flask, rule: Rule, schemas: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    view = app.view_functions[rule.endpoint]
    scope = getattr(view, "rbee_scope", Scope.ADMIN)
    body = getattr(view, "rbee_body", None)
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        operation: dict[str, Any] = {
            "operationId": f"{rule.endpoint}.{method.lower()}",
            "summary": (view.__doc__ or "").strip(),
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in sorted(rule.arguments)
            ],
            "security": [] if scope == OPEN else [{"bearer": [str(scope)]}],
            "responses": {
                "2XX": {"description": "Done, or accepted"},
                "default": {
                    "description": "An error",
                    "content": {"application/json": {"schema": _ref("Error")}},
                },
            },
        }
        if body is not None:
            operation["requestBody"] = _body(_add(schemas, body))
        if rule.endpoint == SUBMIT:
            operation["requestBody"] = _body({"oneOf": [_ref(name) for name in OPERATIONS]})
        yield method.lower(), operation


def _submission(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an operation as `POST /v1/jobs` takes them: beside its name and the target."""
    own = {"operation": {"const": name}, "target": _ref("Target")}
    required = [*own, *params.get("required", [])]
    return {
        **params,
        "title": name,
        "properties": {**own, **params.get("properties", {})},
        "required": required,
    }


def _add(schemas: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    schemas[model.__name__] = _schema(schemas, model)
    return _ref(model.__name__)


def _schema(schemas: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema; what it refers to goes where the description keeps schemas."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    return schema


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _template(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
