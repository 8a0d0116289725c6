"""The static files, and those that are made of them. A URL with the version of exactly this content can be cached
for ever.

During a rolling update, a page of a new process can request a file from an old process, or the reverse. Its URL then
has the version of another content, and nobody may keep the response.
"""

import mimetypes
import os
from functools import lru_cache

from starlette import staticfiles
from starlette.datastructures import Headers, QueryParams
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Scope

from web.rendering import assets
from web.rendering.versions import version

FOR_EVER = "public, max-age=31536000, immutable"
NEVER = "no-store"
REVALIDATED = "no-cache"

mimetypes.add_type("font/woff2", ".woff2")  # slim containers have no /etc/mime.types


class StaticFiles(staticfiles.StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        if path not in assets.FILES or scope["method"] not in ("GET", "HEAD"):
            return await super().get_response(path, scope)
        content = assets.content(path)
        headers = _headers(version(content), scope)
        return self._unless_known(Response(content, headers=headers, media_type=assets.MEDIA_TYPES[path]), scope)

    def file_response(
        self, full_path: "os.PathLike[str] | str", stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        actual = _version(str(full_path), stat_result.st_mtime_ns, stat_result.st_size)
        headers = _headers(actual, scope)
        return self._unless_known(FileResponse(full_path, status_code, headers, stat_result=stat_result), scope)

    def _unless_known(self, response: Response, scope: Scope) -> Response:
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response


def _headers(actual: str, scope: Scope) -> dict[str, str]:
    """Starlette's own ETag is made of size and time, which two versions can share."""
    requested = QueryParams(scope["query_string"]).getlist("v")
    cache_control = FOR_EVER if requested == [actual] else NEVER if requested else REVALIDATED
    return {"Cache-Control": cache_control, "ETag": f'"{actual}"'}


@lru_cache(64)
def _version(path: str, modified: int, size: int) -> str:
    """The version of the file as it is now. The other parameters make a changed file a different key."""
    with open(path, "rb") as file:
        return version(file.read())
