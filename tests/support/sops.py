"""Encrypt and decrypt Secrets with the real SOPS, by the rules of the example, with an age key made for the purpose."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from devcluster.pipeline_parts import AGE_KEYGEN, SOPS
from tests.support.chart_pages import ROOT
from tests.support.clients import program

EXAMPLE = ROOT / "examples" / "secrets" / "sops"


class Vault:
    """A folder in which SOPS works by the example's rules, with a key of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the key, and put its public half into the rules."""
        self.folder = folder
        self.key = folder / "key.txt"
        subprocess.run([program(AGE_KEYGEN), "-o", self.key], check=True, capture_output=True, timeout=60)
        [recipient] = re.findall(r"public key: (age1\w+)", self.key.read_text(encoding="utf-8"))
        rules = (EXAMPLE / ".sops.yaml").read_text(encoding="utf-8")
        assert rules.count("RECIPIENT") == 1
        (folder / ".sops.yaml").write_text(rules.replace("RECIPIENT", recipient), encoding="utf-8")

    def sops(self, *words: str, key: bool = True) -> subprocess.CompletedProcess[str]:
        """Run SOPS; without the key it knows what anybody does who has the repository."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SOPS_")}
        environment |= {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        if key:
            environment["SOPS_AGE_KEY_FILE"] = str(self.key)
        return subprocess.run(
            [program(SOPS), "--disable-version-check", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def encrypt(self, body: dict[str, Any]) -> str:
        """Return what Git holds of an object."""
        file = self.folder / "object.yaml"
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        done = self.sops("encrypt", "--in-place", file.name, key=False)
        assert done.returncode == 0, done.stderr
        return file.read_text(encoding="utf-8")
