"""The manifests of deploy/kubernetes, as they are written and as kubectl renders them."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from reactor.web.access import Access
from reactor.web.health import routes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production", "autoscaling", "supabase")

Document = dict[str, Any]


def documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


#: The alerts that Prometheus is given, by name, and the paths that a replica answers.
ALERTS: dict[str, Document] = {
    rule["alert"]: rule
    for group in documents(
        (FOLDER / "components" / "prometheus-operator" / "prometheusrule.yaml").read_text()
    )[0]["spec"]["groups"]
    for rule in group["rules"]
}
PATHS = {route.path for route in routes(list, listens=True, access=Access(None))}


def written(kustomization: Path) -> Iterator[Document]:
    """The resources that a kustomization names, without its patches and generators."""
    for name in yaml.safe_load((kustomization / "kustomization.yaml").read_text()).get("resources", ()):
        path = (kustomization / name).resolve()
        if path.is_dir():
            yield from written(path)
        else:
            yield from documents(path.read_text())


def rendered(kustomization: Path) -> list[Document] | None:
    """What would be applied; None without a kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    done = subprocess.run(
        [kubectl, "kustomize", str(kustomization)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def only(found: Iterable[Document], kind: str, name: str | None = None) -> Document:
    (one,) = [
        document
        for document in found
        if document["kind"] == kind and name in (None, document["metadata"]["name"])
    ]
    return one


def pod_of(document: Document) -> Document | None:
    """The pod that a workload starts."""
    return document["spec"]["template"]["spec"] if document["kind"] in ("Deployment", "Job") else None


def settings_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
