"""Do with an ExternalSecret what External Secrets Operator does with it once it has the values: make its Secret.

Its templates are Go templates with the functions of Sprig, and so are Helm's: the real Helm renders them here.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from devcluster.parts import HELM_4
from tests.support.clients import program

_CHART = "apiVersion: v2\nname: rendering\nversion: 0.0.0\n"
_TEMPLATE = '{{ dict "text" (tpl (.Files.Get "text") .Values.outputs) | toJson }}'
_SECONDS = 60


def made_secret(external: Mapping[str, Any], outputs: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Return the Secret that an ExternalSecret describes, for the values that its source gives."""
    target = external["spec"]["target"]
    template = target["template"]
    data = {key: _rendered(text, outputs, folder) for key, text in template["data"].items()}
    return {
        "metadata": {"name": target["name"]},
        "type": template["type"],
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def _rendered(text: str, outputs: Mapping[str, str], folder: Path) -> str:
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "Chart.yaml").write_text(_CHART, encoding="utf-8")
    (folder / "templates" / "out.yaml").write_text(_TEMPLATE, encoding="utf-8")
    (folder / "text").write_text(text, encoding="utf-8")
    values = json.dumps({"outputs": dict(outputs)})
    done = subprocess.run(
        [program(HELM_4), "template", folder, "--values", "-"],
        input=values,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["text"])
