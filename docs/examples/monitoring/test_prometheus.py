"""Prometheus' configuration fits the server, and Prometheus can read the answer."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from processes import running

HERE = Path(__file__).parent
BOT = HERE.parent / "deployment" / "bot.py"
SECRET = "secret-of-a-test"


@pytest.mark.slow
def test_prometheus_reads_the_metrics() -> None:
    """Only the port differs here. Prometheus requests /metrics, with the credentials as a bearer token."""
    config = (HERE / "prometheus.yml").read_text()
    assert re.search(r"authorization:\n +credentials_file: ", config)
    assert re.search(r'targets: \["127\.0\.0\.1:7860"\]', config)
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(BOT), "--port", "0", "--plugin", "monitor"]
    with running(command, r"(http://\S+)", RTVI_OPERATOR_SECRET=SECRET) as address:
        with urlopen(Request(f"{address}/metrics", headers={"authorization": f"Bearer {SECRET}"}), timeout=50) as found:
            families = {each.name for each in text_string_to_metric_families(found.read().decode())}
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{address}/metrics", timeout=50)
    assert {"rtvi_starts", "rtvi_voice_to_voice_seconds", "rtvi_load"} <= families
