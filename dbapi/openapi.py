"""The API's documentation, in development: /openapi.json, generated from the endpoints, and a page made from that."""

import html
import inspect
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from dbapi.auth import OPEN
from dbapi.endpoint import Operation, operation_of
from dbapi.schemas.fields import Error
from kit.routing import Route

Mode = Literal["validation", "serialization"]
References = Mapping[tuple[type[BaseModel], Mode], dict[str, Any]]

UUID_SCHEMA = {"type": "string", "format": "uuid"}
PARAMETER_SCHEMAS = {"id": UUID_SCHEMA, "path": {"type": "string"}}  # by the convertor in the route's path
REFUSALS = {
    "400": "Malformed",
    "401": "No valid service credential, or no session",
    "404": "Not found, or in another session",
    "409": "Not possible in this state",
    "413": "Too large",
    "415": "Not JSON",
    "422": "Not valid: with the problems and where they are",
    "429": "Too many requests: Retry-After has the seconds to wait",
    "503": "The database is not available",
}


def routes(documented: list[Route]) -> list[Route]:
    document = openapi(documented)

    async def show_json(request: Request) -> Response:
        return JSONResponse(document)

    async def show(request: Request) -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(page(document), headers={"Content-Security-Policy": policy})

    return [Route("/openapi.json", show_json), Route("/docs", show)]


def openapi(documented: list[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 of these routes. Raises KeyError if one of them is not an endpoint."""
    references, definitions = _schemas([operation_of(route.endpoint) for route in documented])
    paths: dict[str, Any] = {}
    for route in documented:
        path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        for method in (route.methods or set()) - {"HEAD"}:
            paths.setdefault(path, {})[method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runnel database API",
            "version": "1",
            "description": "Chats, messages and the generation log.",
        },
        "security": [{"service": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"service": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(operations: list[Operation]) -> tuple[References, dict[str, Any]]:
    models: dict[tuple[type[BaseModel], Mode], None] = {(Error, "serialization"): None}
    for operation in operations:
        if operation.body:
            models[operation.body, "validation"] = None
        if operation.response:
            models[operation.response, "serialization"] = None
    references, definitions = models_json_schema(list(models), ref_template="#/components/schemas/{model}")
    return {(model, mode): references[model, mode] for model, mode in models}, definitions


def _operation(route: Route, references: References) -> dict[str, Any]:
    operation, text = operation_of(route.endpoint), inspect.getdoc(route.endpoint) or ""
    responses = {
        str(status): {"description": meaning, **_content(references, operation.response, operation.media_type)}
        for status, meaning in operation.statuses.items()
    }
    refusals = {status: {"description": meaning, **_content(references, Error)} for status, meaning in REFUSALS.items()}
    document: dict[str, Any] = {
        "operationId": f"{route.endpoint.__module__.removeprefix('dbapi.')}.{route.endpoint.__name__}",
        "summary": text.partition("\n")[0],
        "description": text,
        "parameters": _parameters(route, operation),
        "responses": responses | refusals,
    }
    if route.path in OPEN:
        document["security"] = []
    if operation.body:
        schema = references[operation.body, "validation"]
        document["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return document


def _parameters(route: Route, operation: Operation) -> list[dict[str, Any]]:
    in_path = re.findall(r"{(\w+):(\w+)}", route.path)
    assert {name for name, _ in in_path} == operation.path_parameters.keys(), route.path
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": PARAMETER_SCHEMAS[convertor]}
        for name, convertor in in_path
    ]
    for name, query in operation.queries.items():
        parameters.append({"name": name, "in": "query", "required": False, "schema": query.schema})
    if operation.session_required is not None:
        required = operation.session_required
        parameters.append({"name": "X-Session-ID", "in": "header", "required": required, "schema": UUID_SCHEMA})
    return parameters


def _content(
    references: References, model: type[BaseModel] | None, media_type: str = "application/json"
) -> dict[str, Any]:
    return {"content": {media_type: {"schema": references[model, "serialization"]}}} if model else {}


def page(document: dict[str, Any]) -> str:
    """A plain page without scripts: every operation with its schemas."""
    parts = [_STYLE, f"<h1>{document['info']['title']}</h1><p><a href='/openapi.json'>openapi.json</a></p>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = re.findall(r"schemas/(\w+)", str(operation))
            links = ", ".join(f"<a href='#{name}'>{name}</a>" for name in dict.fromkeys(names))
            parts.append(
                f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
                f"<p>{html.escape(operation['description'])}</p><p>{links}</p>"
            )
    for name, schema in document["components"]["schemas"].items():
        fields = "".join(
            f"<tr><td><code>{field}</code><td>{html.escape(_kind(what))}<td>{html.escape(what.get('description', ''))}"
            for field, what in schema.get("properties", {}).items()
        )
        parts.append(
            f"<h3 id='{name}'>{name}</h3><p>{html.escape(schema.get('description', ''))}</p><table>{fields}</table>"
        )
    return "\n".join(parts)


def _kind(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf") or [schema]
    return " or ".join(
        str(option.get("$ref", option.get("format", option.get("type", "")))).rpartition("/")[2] for option in options
    )


_STYLE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Runnel database API</title>
<style>body{font:1rem/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
h2{margin-top:2rem;font-size:1.1rem}table{border-collapse:collapse}
td{padding:.2rem .6rem;border:1px solid #8886;vertical-align:top}</style>"""
