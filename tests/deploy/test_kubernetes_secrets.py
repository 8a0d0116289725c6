"""secrets.sh, with the real kubectl and a server that lists secrets like Kubernetes: existing values are kept."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack import ROOT

RESOURCE = {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get", "list"]}
DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [RESOURCE]},
}
Values = dict[tuple[str, str, str], str]  # (namespace, secret, key) -> base64


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder, self.values, self.is_broken = folder, Values(), False
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                body = DISCOVERY.get(path) or cluster.secrets(path.split("/")[4])
                self.send_response(500 if cluster.is_broken and path not in DISCOVERY else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
            "current-context": "c",
        }
        (folder / "config").write_text(yaml.safe_dump(config))

    def secrets(self, namespace: str) -> dict[str, Any]:
        data: dict[str, dict[str, str]] = {}
        for (space, name, key), value in self.values.items():
            if space == namespace:
                data.setdefault(name, {})[key] = value
        items = [{"metadata": {"namespace": namespace, "name": name}, "data": data[name]} for name in data]
        return {"kind": "SecretList", "apiVersion": "v1", "items": items}

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        paths = {"PATH": programs, "HOME": str(self.folder), "KUBECONFIG": str(self.folder / "config")}
        return subprocess.run(
            [ROOT / "deploy" / "kubernetes" / "secrets.sh", *arguments],
            env=os.environ | paths | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def printed(self, *arguments: str, **environ: str) -> Values:
        result = self.run(*arguments, **environ)
        assert (result.returncode, result.stderr) == (0, "")
        found = Values()
        for each in yaml.safe_load_all(result.stdout):
            name = (each["metadata"]["namespace"], each["metadata"]["name"])
            found |= {(*name, key): value for key, value in each.get("data", {}).items()}
            found |= {(*name, key): encode(value) for key, value in each.get("stringData", {}).items()}
        return found


def encode(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    thread = threading.Thread(target=cluster.server.serve_forever)
    thread.start()
    yield cluster
    cluster.server.shutdown()
    thread.join()
    cluster.server.server_close()


@pytest.mark.parametrize("address", [[], ["db-rw.runnel-database.svc.cluster.local:5432/runnel"]])
def test_a_second_run_prints_the_same_values(cluster: Cluster, address: list[str]) -> None:
    first = cluster.printed(*address)
    fresh = cluster.printed(*address)
    cluster.values = first

    assert {key for key in first if first[key] == fresh[key]} <= {("runnel-database", "owner", "username")}
    assert cluster.printed(*address) == first


def test_changed_values_are_kept_byte_for_byte(cluster: Cluster) -> None:
    cluster.values = cluster.printed()
    cluster.values["runnel", "web", "secret_keys"] = encode('new "key",old\\key\n')
    cluster.values["runnel", "dbapi", "dbapi_keys"] = encode("new,old")

    assert cluster.printed(OWNER_PASSWORD="other", LLAMA_API_KEY="other") == cluster.values


@pytest.mark.parametrize("name", ["web", "dbapi", "owner", "llama", "db", "superuser"])
def test_a_missing_secret_gets_the_values_that_the_others_have(cluster: Cluster, name: str) -> None:
    first = cluster.printed()
    cluster.values = {key: value for key, value in first.items() if key[1] != name}

    again = cluster.printed()

    # These are in no other secret. make_owner gives the role the new password.
    unrecoverable = {("runnel", "web", "secret_keys"), ("runnel", "owner", "database_url")}
    assert {key for key in first if again[key] != first[key]} <= unrecoverable


def test_nothing_is_printed_if_the_cluster_cannot_be_read(cluster: Cluster) -> None:
    cluster.is_broken = True

    result = cluster.run()

    assert result.returncode == 1
    assert result.stdout == ""
    assert "new ones must not replace them" in result.stderr


def test_without_a_configured_cluster_all_secrets_are_generated(cluster: Cluster) -> None:
    assert cluster.printed(KUBECONFIG=str(cluster.folder / "missing")).keys() == cluster.printed().keys()
