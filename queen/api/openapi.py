"""The API description, generated from the routes, their docstrings, scopes and body models (OpenAPI 3.1)."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from queen.guard import OPEN
from queen.principals import Scope
from shared.operations import OPERATIONS

PREFIXES = ("/v1/", "/api/", "/openai/", "/health", "/metrics", "/openapi.json")


def describe(app: Flask) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith(PREFIXES):
            for method, operation in _operations(app, rule):
                paths.setdefault(_template(rule.rule), {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "rbee", "version": version("rbee")},
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _ERROR,
                **{name: op.params.model_json_schema() for name, op in OPERATIONS.items()},
            },
        },
    }


def _operations(app: Flask, rule: Rule) -> Iterator[tuple[str, dict[str, Any]]]:
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
                "default": {
                    "description": "An error",
                    "content": {"application/json": {"schema": _ERROR_REF}},
                }
            },
        }
        if body is not None:
            operation["requestBody"] = {"content": {"application/json": {"schema": body.model_json_schema()}}}
        yield method.lower(), operation


def _template(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


_ERROR_REF = {"$ref": "#/components/schemas/Error"}
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
