"""deploy/kubernetes names only what exists, asks for as little as it says, and leaves a drain its time.

Each check is made of the files as they are written, which needs nothing, and of what kubectl renders,
where there is one.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from reactor import settings
from reactor.cli import entry
from reactor.cli.registry import COMMANDS
from reactor.cli.run import _LAST
from reactor.engine.drain import AFTERWARDS
from reactor.settings import Settings, variable
from reactor.telemetry import metrics, names
from tests.deploy.manifests import (
    ALERTS,
    FOLDER,
    OVERLAYS,
    PATHS,
    ROOT,
    Document,
    documents,
    only,
    pod_of,
    rendered,
    settings_file,
    written,
)

VARIABLES = {variable(name) for name in Settings.model_fields}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: Kinds that the cluster itself does not have.
FOREIGN = {"PodMonitor", "PrometheusRule", "ScaledObject"}
#: The oldest in which all fields are known and on, and the newest that the schemas have.
CLUSTERS = ("1.30", kubernetes_validate.latest_version())
PAGES = [ROOT / "docs" / name for name in ("kubernetes.md", "debezium.md")]
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())


def of_rendered(name: str) -> Any:
    """A set of manifests that is there only where kubectl is."""
    return pytest.param(name, id=f"rendered-{name}")


@pytest.fixture(params=["base", "migrate", *(of_rendered(name) for name in (*OVERLAYS, "migrate"))])
def found(request: pytest.FixtureRequest) -> list[Document]:
    """Everything that one kustomization applies."""
    if not request.node.callspec.id.startswith("rendered"):
        return list(written(FOLDER / request.param))
    folder = FOLDER / "migrate" if request.param == "migrate" else FOLDER / "overlays" / request.param
    return render(folder)


def render(folder: Path) -> list[Document]:
    shown = rendered(folder)
    if shown is None:
        pytest.skip("no kubectl, which renders the overlays: https://kubernetes.io/docs/tasks/tools/")
    return shown


def pods(found: list[Document]) -> list[Document]:
    return [pod for document in found if (pod := pod_of(document)) is not None]


def given(found: list[Document]) -> dict[str, str]:
    """The settings of the replicas, in the ConfigMap or the file that it is made of."""
    maps = [document["data"] for document in found if document["kind"] == "ConfigMap"]
    return maps[0] if maps else settings_file(FOLDER / "base" / "settings.env")


def test_every_manifest_is_what_the_cluster_knows(found: list[Document]) -> None:
    assert found
    for document in found:
        if document["kind"] not in FOREIGN:
            for cluster in CLUSTERS:
                kubernetes_validate.validate(document, cluster, strict=True)


def test_pods_conform_to_the_restricted_standard_and_write_to_no_disk(found: list[Document]) -> None:
    assert pods(found)
    for pod in pods(found):
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # else REACTOR_PORT=tcp://… is taken for a setting
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            resources = container["resources"]
            assert set(resources["limits"]) == {"memory"}  # a throttled process misses heartbeats
            assert {"cpu", "memory"} == set(resources["requests"])


def test_the_image_runs_as_the_manifests_say() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)[-1] == "65532:65532"
    assert re.search(r'^ENTRYPOINT \["reactor"\]$', DOCKERFILE, re.MULTILINE)


def test_commands_are_commands(found: list[Document]) -> None:
    for pod in pods(found):
        for container in pod["containers"]:
            assert "command" not in container  # the image's entrypoint
            # What a replica runs is the image's to say: it knows its app.
            arguments = container.get("args") or json.loads(
                re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[-1]
            )
            command, _, _ = entry.build(arguments[0]).parse_args(
                arguments, exit_on_error=False, print_error=False
            )
            assert callable(command)
            assert ("args" in container) == (arguments[0] == "migrate")


def test_settings_and_secrets_are_taken_as_they_are_written(
    clean: None, found: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        document["metadata"]["name"]: document["stringData"]
        for document in documents((FOLDER / "secret.example.yaml").read_text())
    }
    for pod in pods(found):
        for container in pod["containers"]:
            for source in container["envFrom"]:
                secret = source.get("secretRef", {}).get("name")
                for name, value in (secrets[secret] if secret else given(found)).items():
                    assert name in VARIABLES
                    monkeypatch.setenv(name, value)
            for variable_ in container.get("env", ()):
                assert variable_["name"] in VARIABLES
                assert variable_["valueFrom"]["secretKeyRef"] == {"name": "reactor", "key": variable_["name"]}
                assert f"# {variable_['name']}: " in (FOLDER / "secret.example.yaml").read_text()
    chosen = settings.load()
    assert chosen.dsn.startswith("postgresql://crm_")


def test_probes_ask_what_answers_on_the_port_that_is_set(found: list[Document]) -> None:
    for pod in pods(found):
        for container in pod["containers"]:
            if "args" in container:
                continue  # a job, which nobody probes
            probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
            assert set(probes) == {"startupProbe", "livenessProbe", "readinessProbe"}
            for name, path in (("startup", "/startupz"), ("liveness", "/livez"), ("readiness", "/readyz")):
                asked = probes[f"{name}Probe"]["httpGet"]
                assert asked == {"path": path, "port": "http"}
                assert asked["path"] in PATHS
            assert container["ports"] == [
                {"name": "http", "containerPort": int(given(found)["REACTOR_HTTP_PORT"])}
            ]
            assert given(found)["REACTOR_HTTP_HOST"] in (
                "0.0.0.0",
                "::",
            )  # the kubelet asks the pod's address
            live = probes["livenessProbe"]
            # Whoever stands still for a lease is replaced by the others anyway; it is not killed before.
            patience = live["periodSeconds"] * live["failureThreshold"]
            assert patience >= 2 * Settings.model_fields["lease_seconds"].default


def test_who_is_stopped_has_the_time_of_a_drain_and_what_follows_it(found: list[Document]) -> None:
    for document in found:
        if document["kind"] != "Deployment":
            continue
        grace = document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        drain = float(given(found)["REACTOR_DRAIN_SECONDS"])
        assert grace >= drain + AFTERWARDS + _LAST + 2
        rolling = document["spec"]["strategy"]["rollingUpdate"]
        assert rolling["maxUnavailable"] == 0


def test_the_overlays_grace_follows_its_drain_without_kubectl_too() -> None:
    overlay = yaml.safe_load((FOLDER / "overlays" / "production" / "kustomization.yaml").read_text())
    (generated,) = overlay["configMapGenerator"]
    literals = dict(line.split("=", 1) for line in generated["literals"])
    assert set(literals) <= VARIABLES
    patch = yaml.safe_load((FOLDER / "overlays" / "production" / "deployment.yaml").read_text())
    grace = patch["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= float(literals["REACTOR_DRAIN_SECONDS"]) + AFTERWARDS + _LAST + 2


def test_selectors_find_the_pods(found: list[Document]) -> None:
    labels = {
        document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: document["spec"][
            "template"
        ]["metadata"]["labels"]
        for document in found
        if pod_of(document)
    }
    (own,) = labels.values()
    looking = {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}
    for document in found:
        if document["kind"] not in looking:
            continue
        spec = document["spec"]
        selector = spec["podSelector"] if document["kind"] == "NetworkPolicy" else spec["selector"]
        assert (selector.get("matchLabels") or selector).items() <= own.items(), document["kind"]


def test_no_secret_is_in_what_is_applied(found: list[Document]) -> None:
    assert "Secret" not in {document["kind"] for document in found}
    named = [path for path in FILES if path.name == "kustomization.yaml" and "secret" in path.read_text()]
    assert named == []


def test_a_policy_lets_out_what_a_replica_needs_and_in_only_prometheus(found: list[Document]) -> None:
    policies = [document for document in found if document["kind"] == "NetworkPolicy"]
    ours = [one for one in policies if "Egress" in one["spec"]["policyTypes"]]
    assert len(ours) == 1
    ports = {(port["protocol"], port["port"]) for rule in ours[0]["spec"]["egress"] for port in rule["ports"]}
    assert {("UDP", 53), ("TCP", 53), ("TCP", 5432)} <= ports
    for rule in ours[0]["spec"]["egress"]:
        if {port["port"] for port in rule["ports"]} & {443, 465, 587}:
            (old, _) = [peer["ipBlock"] for peer in rule["to"]]
            assert "169.254.0.0/16" in old["except"]
    for one in policies:
        for rule in one["spec"].get("ingress") or ():
            assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
            assert [set(peer) for peer in rule["from"]] == [{"namespaceSelector"}]


def test_the_pooler_overlay_listens_past_the_pooler() -> None:
    found = render(FOLDER / "overlays" / "supabase")
    (container,) = only(found, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in container["env"]] == ["REACTOR_LISTEN_URL"]
    egress = only(found, "NetworkPolicy", "reactor")["spec"]["egress"]
    assert {5432, 6432, 6543} <= {port["port"] for rule in egress for port in rule["ports"]}


@pytest.mark.parametrize("by", ["cpu", "keda"])
def test_an_autoscaler_is_not_set_back_by_each_apply(by: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "autoscaling" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("autoscaling-cpu", f"autoscaling-{by}"))
    found = render(overlay.parent)
    deployment = only(found, "Deployment")
    assert "replicas" not in deployment["spec"]
    scaler = only(found, "HorizontalPodAutoscaler" if by == "cpu" else "ScaledObject")
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    if by == "cpu":
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["requests"]["cpu"] == "1"  # of which the target is a share
    else:
        (trigger,) = scaler["spec"]["triggers"]
        assert int(trigger["metadata"]["threshold"]) < Settings.model_fields["concurrency"].default
        check_query(trigger["metadata"]["query"])


SAMPLES = {
    sample.name: set(sample.labels) for family in metrics.REGISTRY.collect() for sample in family.samples
}
# Those whose labels nobody knows beforehand have no sample yet.
SAMPLES |= {
    "reactor_emails_failed_total": {"provider", "error_type"},
    "reactor_email_send_seconds_bucket": set(),
}
# Those of a database, of which none is served here.
SAMPLES |= {family.name: {"database"} for family in metrics.REGISTRY.collect() if not family.samples}
#: Given by Prometheus to what it reads from a pod.
TARGET = {"namespace", "pod"}


def check_query(query: str) -> None:
    """Its metrics, and the labels and values that it picks by, are there from the start."""
    for name, picked in re.findall(r"\b(reactor_\w+)(?:\{([^}]*)\})?", query):
        assert name in SAMPLES, f"{name} in {query}"
        for label, value in re.findall(r'(\w+)\s*!?=~?\s*"([^"]*)"', picked):
            assert label in SAMPLES[name] | TARGET, query
            if label not in TARGET:
                there = re.compile(re.escape(name) + r"\{.*" + label + f'="{value}"')
                assert there.search(exposed()), query
    grouped = {
        label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")
    }
    known = set().union(*SAMPLES.values())
    assert grouped <= known | TARGET, query


def exposed() -> str:
    from prometheus_client import generate_latest

    return generate_latest(metrics.REGISTRY).decode()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_metrics_that_exist_and_says_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    check_query(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]["description"]
    assert set(rule["annotations"]) == {"summary", "description"}
    # Whatever it names is in the log, or a command.
    events = {value for name, value in vars(names).items() if name.isupper()}
    assert set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", said)) <= events
    assert set(re.findall(r"`reactor ([a-z-]+)", said)) <= {command.name for command in COMMANDS}


def test_prometheus_reads_the_metrics_with_the_token_of_the_secret() -> None:
    monitor = documents((FOLDER / "components" / "prometheus-operator" / "podmonitor.yaml").read_text())[0]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] in PATHS
    assert endpoint["port"] == "http"
    credentials = endpoint["authorization"]["credentials"]
    assert endpoint["authorization"]["type"] == "Bearer"
    secret = only(documents((FOLDER / "secret.example.yaml").read_text()), "Secret", credentials["name"])
    assert credentials["key"] in secret["stringData"]
    assert credentials["key"] == "REACTOR_DASHBOARD_TOKEN"


@pytest.mark.parametrize("path", [*FILES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_setting_is_named_that_does_not_exist(path: Path) -> None:
    tests_own = {"REACTOR_TEST_DATABASE_URL", "REACTOR_TEST_IMAGE"}
    assert set(re.findall(r"\bREACTOR_[A-Z]\w*", path.read_text())) <= VARIABLES | tests_own
