"""Stands in for web, dbapi and alembic in the supervisor's tests, which copy it into their own source tree.

It responds to every GET with {"model": "ready"}, or the state that MODEL_STATE names. The service that BROKEN names
exits at once.
"""

import http.server
import json
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"model": os.environ.get("MODEL_STATE", "ready"), "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(service: str) -> None:
    if os.environ.get("BROKEN") == service:
        sys.exit(f"{service} is broken on purpose")
    host, port = os.environ[f"{service}_HOST"], int(os.environ[f"{service}_PORT"])
    http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
