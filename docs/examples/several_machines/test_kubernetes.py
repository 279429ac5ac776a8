"""The manifests: valid for Kubernetes, and true of this server. A cluster would be needed for more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx2
import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import pytest
import yaml

from processes import running

HERE = Path(__file__).parent
SECRET = {"RTVI_OPERATOR_SECRET": "secret-of-a-test"}
BOT = HERE.parent / "deployment" / "bot.py"


def manifests() -> list[Any]:
    """Return all objects of both files."""
    return [
        each for file in ("bot.yaml", "gateway.yaml") for each in yaml.safe_load_all((HERE / file).read_text("utf-8"))
    ]


def named(kind: str, name: str) -> Any:
    """Return one of the objects."""
    (found,) = [each for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("manifest", manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_fits_the_schema(manifest: Any) -> None:
    """The schemas are those of the oldest and the newest Kubernetes that are tested. An unknown field is an error."""
    for version in ("1.30", "1.34"):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_objects_find_each_other() -> None:
    """They refer to each other by names, labels and ports."""
    pods = named("StatefulSet", "hotel-bot")["spec"]
    labels, (container,) = pods["template"]["metadata"]["labels"], pods["template"]["spec"]["containers"]
    assert pods["serviceName"] == named("Service", "hotel-bot")["metadata"]["name"]
    assert pods["selector"]["matchLabels"] == labels
    for service in ("hotel-bot", "hotel-bot-ready"):
        found = named("Service", service)["spec"]
        assert (found["selector"], found["ports"][0]["port"]) == (labels, container["ports"][0]["containerPort"])
    assert named("PodDisruptionBudget", "hotel-bot")["spec"]["selector"]["matchLabels"] == labels
    target = named("HorizontalPodAutoscaler", "hotel-bot")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "hotel-bot")
    text = named("ConfigMap", "hotel-bot-gateway")["data"]["gateway.conf"]
    assert "//hotel-bot-ready:7860;" in text
    assert "//$pod.hotel-bot.default.svc.cluster.local:7860$rest" in text


def test_a_pod_serves_and_answers_its_probes(tmp_path: Path) -> None:
    """It runs with the manifest's arguments. Only addresses, names and the time to wait at the end differ here."""
    spec = named("StatefulSet", "hotel-bot")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["/opt/hotel/.venv/bin/rtvi"]
    (drain,) = [int(each.partition("=")[2]) for each in container["args"] if each.startswith("--drain-seconds=")]
    assert spec["terminationGracePeriodSeconds"] > drain + 10
    changed = {
        "bot.py": str(BOT),
        "--host=0.0.0.0": "--host=127.0.0.1",
        f"--drain-seconds={drain}": "--drain-seconds=0",
    }
    arguments: list[str] = [
        changed.get(each, each).replace("$(POD_NAME)", "hotel-bot-0") for each in map(str, container["args"])
    ]
    command = [sys.executable, "-m", "rtvi_plugins", *arguments, "--port=0"]
    with running(command, r"(127\.0\.0\.1:\d+)", RTVI_STORE=str(tmp_path / "sessions.db"), **SECRET) as address:
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            path = container[probe]["httpGet"]["path"]
            assert httpx2.get(f"http://{address}{path}").status_code == 200
        started = httpx2.post(
            f"http://{address}/start", headers={"x-rtvi-operator-secret": SECRET["RTVI_OPERATOR_SECRET"]}
        )
        assert started.json()["wsUrl"].startswith("wss://bots.hotel.example/hotel-bot-0/ws")
        (metric,) = [
            each["pods"]["metric"]["name"] for each in named("HorizontalPodAutoscaler", "hotel-bot")["spec"]["metrics"]
        ]
        metrics = httpx2.get(
            f"http://{address}/metrics", headers={"authorization": f"Bearer {SECRET['RTVI_OPERATOR_SECRET']}"}
        )
        assert f"\n{metric} 1.0\n" in metrics.text
    assert (tmp_path / "sessions.db").exists()
