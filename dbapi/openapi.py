"""The API's own documentation, in development: /openapi.json, made from the routes and schemas, and a page made from that."""

import html
import inspect
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dbapi import chats, devices, generations, messages, schemas, sessions

# What each handler takes and gives; its docstring says the rest.
SCHEMAS: dict[Any, tuple[type[BaseModel] | None, type[BaseModel] | None, int]] = {
    sessions.create: (schemas.NewDevice, schemas.SessionId, 201),
    sessions.find: (schemas.DeviceToken, schemas.SessionId, 200),
    devices.index: (None, schemas.DeviceList, 200),
    devices.create: (schemas.LinkedDevice, schemas.SessionId, 201),
    devices.delete: (None, schemas.SignedOut, 200),
    devices.delete_all: (None, schemas.SignedOut, 200),
    devices.create_link: (schemas.NewLink, schemas.LinkMade, 201),
    chats.create: (schemas.NewChat, schemas.ChatWithMessages, 201),
    chats.index: (None, schemas.ChatList, 200),
    chats.show: (None, schemas.ChatWithMessages, 200),
    chats.change: (schemas.ChatChange, schemas.ChatRecord, 200),
    chats.delete: (None, None, 204),
    chats.restore: (None, schemas.ChatRecord, 200),
    chats.show_branch: (schemas.Tip, schemas.ChatRecord, 200),
    chats.show_latest: (None, schemas.ChatWithMessages, 200),
    messages.create: (schemas.NewMessage, schemas.MessageRecord, 201),
    messages.create_turn: (schemas.NewTurn, schemas.Turn, 201),
    messages.show: (None, schemas.MessageRecord, 200),
    messages.prompt: (None, schemas.Prompt, 200),
    messages.delete: (None, None, 204),
    messages.regenerate: (schemas.Again, schemas.Answering, 201),
    messages.go_on: (schemas.Again, schemas.Answering, 200),
    messages.stop: (None, schemas.Stopped, 200),
    generations.claim: (schemas.Claim, schemas.ClaimedList, 200),
    generations.append: (schemas.Appends, schemas.Appended, 200),
    generations.finish: (schemas.Finish, schemas.Done, 200),
    generations.rename: (schemas.Rename, schemas.Done, 200),
    generations.release: (schemas.Held, schemas.Released, 200),
    generations.read: (schemas.Places, schemas.Log, 200),
}
REFUSALS = {"401": "No valid service credential, or no session", "400": "Malformed", "404": "Not there, or not this session's"}
REFUSALS |= {"409": "Not in this state", "429": "Too many for now: Retry-After tells how long"}
REFUSALS |= {"413": "Too large", "415": "Not JSON", "422": "Not valid: says what, and where", "503": "The database is not available"}
OF_NOBODY = (devices.create,)  # the one that needs no X-Session-ID in spite of its path
SCOPED = ("/chats", "/devices", "/links")  # paths that need X-Session-ID
QUERIES = {
    chats.show: ("last", {"type": "integer", "minimum": 1, "maximum": 9_999_999}),
    devices.delete_all: ("keep", {"type": "string", "pattern": "^[0-9a-f]{64}$"}),
}


def routes(documented: list[Route]) -> list[Route]:
    document = openapi(documented)

    async def show_json(request: Request) -> Response:
        return JSONResponse(document)

    async def show(request: Request) -> Response:
        return HTMLResponse(page(document), headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})

    return [Route("/openapi.json", show_json), Route("/docs", show)]


def openapi(documented: list[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 of these routes."""
    models = {model for taken, given, _ in SCHEMAS.values() for model in (taken, given) if model}
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {}
    for route in documented:
        if route.endpoint in SCHEMAS:
            path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
            for method in (route.methods or set()) - {"HEAD"}:
                paths.setdefault(path, {})[method.lower()] = _operation(route, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Runnel database API", "version": "1", "description": "Chats, messages and the generation log."},
        "security": [{"service": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"service": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, path: str) -> dict[str, Any]:
    taken, given, status = SCHEMAS[route.endpoint]
    text = inspect.getdoc(route.endpoint) or ""
    uuid = {"type": "string", "format": "uuid"}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"} if kind == "path" else uuid}
        for name, kind in re.findall(r"{(\w+):(\w+)}", route.path)
    ]
    if query := QUERIES.get(route.endpoint):
        parameters.append({"name": query[0], "in": "query", "required": False, "schema": query[1]})
    if path.startswith(SCOPED) and route.endpoint not in OF_NOBODY:
        parameters.append({"name": "X-Session-ID", "in": "header", "required": True, "schema": uuid})
    operation: dict[str, Any] = {
        "operationId": f"{route.endpoint.__module__.removeprefix('dbapi.')}.{route.endpoint.__name__}",
        "summary": text.partition("\n")[0],
        "description": text,
        "parameters": parameters,
        "responses": {str(status): {"description": "Done", **_content(given)}},
    }
    if route.endpoint is messages.create_turn:
        operation["responses"]["200"] = {"description": "This turn was there before", **_content(given)}
    operation["responses"] |= {code: {"description": meaning} for code, meaning in REFUSALS.items()}
    if taken:
        operation["requestBody"] = {"required": True, **_content(taken)}
    return operation


def _content(model: type[BaseModel] | None) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}} if model else {}


def page(document: dict[str, Any]) -> str:
    """A plain page: every operation with its schemas, readable without any script."""
    parts = [_STYLE, f"<h1>{document['info']['title']}</h1><p><a href='/openapi.json'>openapi.json</a></p>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = re.findall(r"schemas/(\w+)", str(operation))
            links = ", ".join(f"<a href='#{name}'>{name}</a>" for name in dict.fromkeys(names))
            parts.append(
                f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation['description'])}</p><p>{links}</p>"
            )
    for name, schema in document["components"]["schemas"].items():
        fields = "".join(
            f"<tr><td><code>{field}</code><td>{html.escape(_kind(what))}<td>{html.escape(what.get('description', ''))}"
            for field, what in schema.get("properties", {}).items()
        )
        parts.append(f"<h3 id='{name}'>{name}</h3><p>{html.escape(schema.get('description', ''))}</p><table>{fields}</table>")
    return "\n".join(parts)


def _kind(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf") or [schema]
    return " or ".join(str(option.get("$ref", option.get("format", option.get("type", "")))).rpartition("/")[2] for option in options)


_STYLE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Runnel database API</title>
<style>body{font:1rem/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
h2{margin-top:2rem;font-size:1.1rem}table{border-collapse:collapse}
td{padding:.2rem .6rem;border:1px solid #8886;vertical-align:top}</style>"""
