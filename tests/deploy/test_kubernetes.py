"""The manifests are valid, locked down, and consistent with the settings and connections of the services."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import dbapi.settings
import web.settings
from tests.stack import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
OVERLAYS = ["overlays/small", "overlays/large", "cloudnativepg"]
OURS = OVERLAYS[:2]
FOREIGN = {"Cluster", "HTTPRoute"}  # custom resources, which have no schema in Kubernetes
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()
OLDEST = 30  # 1.30 is the first version in which preStop.sleep needs no feature gate
LATEST = int(kubernetes_validate.latest_version().split(".")[1])
HAND_OVER_SECONDS = 10
DNS_SECONDS = 30  # how long the cluster's DNS may keep a response: the default of kubeadm and kind

Manifest = dict[str, Any]


def rendered(overlay: str) -> list[Manifest]:
    output = subprocess.run([KUBECTL, "kustomize", FOLDER / overlay], capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    return list(yaml.safe_load_all(output.stdout))


def secrets() -> dict[str, set[str]]:
    """Return the keys of each secret that secrets.sh prints."""
    output = subprocess.run([FOLDER / "secrets.sh"], capture_output=True, text=True, check=True).stdout
    return {each["metadata"]["name"]: set(each["stringData"]) for each in yaml.safe_load_all(output) if each}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, str, Manifest]]:
    """Yield (kind, name, pod template) of every workload."""
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["kind"], each["metadata"]["name"], each["spec"]["template"]
        elif each["kind"] == "CronJob":
            yield each["kind"], each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, str, Manifest, Manifest]]:
    """Yield (kind, name, pod, container)."""
    for kind, name, template in pods(manifests):
        for container in template["spec"]["containers"] + template["spec"].get("initContainers", []):
            yield kind, name, template["spec"], container


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


@pytest.mark.parametrize("version", [f"1.{LATEST - back}" for back in range(3)] + [f"1.{OLDEST}"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid_for_the_last_three_versions_of_kubernetes_and_the_oldest(
    overlay: str, version: str
) -> None:
    manifests = [each for each in rendered(overlay) if each["kind"] not in FOREIGN]

    for each in manifests:
        kubernetes_validate.validate(each, version, strict=True)

    assert manifests
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifests[0] | {"nonsense": 1}, version, strict=True)


@pytest.mark.parametrize("overlay", OURS)
def test_every_container_has_minimal_privileges_and_resource_limits(overlay: str) -> None:
    for _, name, pod, container in containers(rendered(overlay)):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] >= 100, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name  # otherwise WEB_PORT=tcp://... is read as a setting
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name
        assert re.search(r":(?!latest$)[\w.-]+$", container["image"]), name


@pytest.mark.parametrize("overlay", OURS)
def test_deployments_have_probes_and_time_to_shut_down(overlay: str) -> None:
    for kind, name, pod, container in containers(rendered(overlay)):
        if kind != "Deployment":
            continue
        assert "readinessProbe" in container, name
        assert "livenessProbe" in container, name
        if name in ("web", "dbapi"):
            assert container["startupProbe"]["httpGet"]["path"] == "/readyz", name
            pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert pause >= HAND_OVER_SECONDS, name
            assert pod["terminationGracePeriodSeconds"] >= pause + HAND_OVER_SECONDS, name


@pytest.mark.parametrize("overlay", OURS)
def test_web_stays_until_nginx_knows_which_pods_there_are(overlay: str) -> None:
    web = named(rendered(overlay), "Deployment")["web"]["spec"]

    (container,) = web["template"]["spec"]["containers"]
    assert web["minReadySeconds"] > DNS_SECONDS
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] > DNS_SECONDS


@pytest.mark.parametrize("overlay", OURS)
def test_only_single_addresses_are_trusted_as_proxies(overlay: str) -> None:
    data = named(rendered(overlay), "ConfigMap")
    (config,) = [each["data"] for name, each in data.items() if name.startswith("proxy")]

    networks = [ip_network(each) for each in config["TRUSTED_PROXIES"].split()]

    assert [each.num_addresses for each in networks] == [1]


def test_the_document_names_the_oldest_version_and_what_small_requests() -> None:
    workloads = {"Deployment", "StatefulSet"}
    cpu = memory = 0.0
    for each in rendered("overlays/small"):
        if each["kind"] in workloads:
            for container in each["spec"]["template"]["spec"]["containers"]:
                requests = container["resources"]["requests"]
                cpu += each["spec"]["replicas"] * amount(requests["cpu"])
                memory += each["spec"]["replicas"] * amount(requests["memory"]) / 2**30

    assert f"Kubernetes 1.{OLDEST} or newer" in DOCUMENT
    assert f"{cpu:.1f} CPUs and {memory:.1f} GiB" in DOCUMENT


def amount(quantity: str) -> float:
    units = {"m": 0.001, "Mi": 2**20, "Gi": 2**30}
    number, unit = re.fullmatch(r"([\d.]+)(m|Mi|Gi|)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * units.get(unit, 1)


def test_after_a_restore_everything_that_was_stopped_starts_in_each_overlay() -> None:
    """An autoscaler ignores a deployment of 0 replicas, so applying `large` again would not start it."""
    scaled = re.findall(r"scale deployment ([a-z ]+) --replicas (\d+)", DOCUMENT)

    assert scaled[0] == ("web dbapi", "0")
    assert scaled[-1][0] == scaled[0][0]
    assert int(scaled[-1][1]) > 0


def test_a_new_version_deletes_the_last_migration_first() -> None:
    """A Job cannot be changed, so applying a new image would fail."""
    section = DOCUMENT[DOCUMENT.index("## A new version") :]

    assert "migrate" in named(rendered("overlays/small"), "Job")
    assert 0 < section.index("delete job migrate --ignore-not-found") < section.index("kubectl apply")


@pytest.mark.parametrize("overlay", OURS)
def test_every_reference_resolves(overlay: str) -> None:
    manifests, existing = rendered(overlay), secrets()
    configs, claims = named(manifests, "ConfigMap"), named(manifests, "PersistentVolumeClaim")
    by_name = {name: template["metadata"]["labels"] for _, name, template in pods(manifests)}

    for _, name, pod, container in containers(manifests):
        files: dict[str, set[str]] = {}  # mount path -> keys
        for volume in pod.get("volumes", []):
            mounts = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
            if "secret" in volume:
                keys = {item["path"] for item in volume["secret"].get("items", [])} or existing[
                    volume["secret"]["secretName"]
                ]
                files |= dict.fromkeys(mounts, keys)
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        for variable in container.get("env", []):
            if variable["name"].endswith("_FILE"):
                folder, _, key = variable["value"].rpartition("/")
                assert key in files[folder], f"{name}: {variable}"
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in configs, name
    for service in named(manifests, "Service").values():
        assert service["spec"]["selector"] in [{"app": labels["app"]} for labels in by_name.values()]
    for scaler in named(manifests, "HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] in named(manifests, "Deployment")
    for budget in named(manifests, "PodDisruptionBudget").values():
        assert budget["spec"]["selector"]["matchLabels"]["app"] in named(manifests, "Deployment")


@pytest.mark.parametrize("overlay", OURS)
@pytest.mark.parametrize(("service", "settings"), [("web", web.settings.Settings), ("dbapi", dbapi.settings.Settings)])
def test_every_setting_is_one_that_the_service_reads(overlay: str, service: str, settings: Any) -> None:
    manifests = rendered(overlay)
    configs = named(manifests, "ConfigMap")
    read = {field.name.upper() for field in dataclasses.fields(settings)}

    (container,) = [
        container for kind, name, _, container in containers(manifests) if (kind, name) == ("Deployment", service)
    ]
    given = {variable["name"].removesuffix("_FILE") for variable in container["env"]}
    for source in container["envFrom"]:
        given |= set(configs[source["configMapRef"]["name"]]["data"])

    assert given <= read
    assert {
        field.name.upper() for field in dataclasses.fields(settings) if field.default is dataclasses.MISSING
    } <= given


def test_web_is_scaled_by_a_metric_it_exports() -> None:
    scaler = named(rendered("overlays/large"), "HorizontalPodAutoscaler")["web"]

    (name,) = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Pods"]

    assert f'"{name}", "gauge"' in (ROOT / "web" / "pages" / "metrics.py").read_text()


INSIDE = {
    ("proxy", "web", 8000),
    ("web", "dbapi", 8001),
}
TO_DATABASE = {("dbapi", "db", 5432), ("migrate", "db", 5432), ("backup", "db", 5432)}


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [("overlays/small", INSIDE | TO_DATABASE | {("web", "llama", 8080)}), ("overlays/large", INSIDE)],
)
def test_pods_can_reach_only_the_pods_they_need(overlay: str, expected: set[tuple[str, str, int]]) -> None:
    manifests = rendered(overlay)
    policies = [policy["spec"] for policy in named(manifests, "NetworkPolicy").values()]
    apps = {template["metadata"]["labels"]["app"] for _, _, template in pods(manifests)}

    reached = {
        (one, other, port)
        for one, other, port in product(apps, apps, (53, 80, 443, 5432, 8000, 8001, 8080))
        if allows(policies, "egress", one, other, port) and allows(policies, "ingress", other, one, port)
    }

    # The proxy accepts connections from everywhere, but no pod has egress to it
    assert reached == expected


@pytest.mark.parametrize("overlay", OURS)
def test_egress_is_allowed_only_to_the_listed_destinations(overlay: str) -> None:
    manifests = rendered(overlay)
    policies = named(manifests, "NetworkPolicy")

    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    outward = {
        name: target
        for name, policy in policies.items()
        for rule in policy["spec"].get("egress", [])
        for target in rule.get("to", [{}])
        if "podSelector" not in target or "namespaceSelector" in target
    }
    assert set(outward) == ({"dns"} if overlay == "overlays/small" else {"dns", "to-database", "to-model"})
    assert {} not in outward.values()


def allows(policies: list[Manifest], direction: str, pod: str, peer: str, port: int) -> bool:
    """Return whether a policy of this pod allows traffic with that peer in the same namespace."""
    return any(
        selects(policy["podSelector"], pod)
        and any(
            ("ports" not in rule or port in [each["port"] for each in rule["ports"]])
            and (
                peers is None
                or any("namespaceSelector" not in each and selects(each.get("podSelector"), peer) for each in peers)
            )
            for rule in policy.get(direction, [])
            for peers in [rule.get("to" if direction == "egress" else "from")]
        )
        for policy in policies
    )


def selects(selector: Manifest | None, app: str) -> bool:
    if selector is None:
        return False
    labels = selector.get("matchLabels", {})
    return all(labels[key] == app for key in labels if key == "app") and all(
        app in rule["values"] for rule in selector.get("matchExpressions", []) if rule["key"] == "app"
    )
