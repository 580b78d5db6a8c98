"""A registry of a test's own with an account whose password can be changed while it runs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster import finding
from devcluster.ending import end_services, remove_tree
from devcluster.layout import Layout, write_private
from devcluster.passwords import bcrypt
from devcluster.registries import AUTH, USER, registry_services


@dataclass(slots=True)
class PrivateRegistry:
    """A registry that asks for a password."""

    address: str
    accounts: Path
    password: str
    user: str = USER

    def rotate(self) -> str:
        """Give the account a new password, which holds from now on; the registry refuses the old one. Return it."""
        self.password = secrets.token_urlsafe(18)
        write_private(self.accounts, f"{self.user}:{bcrypt(self.password)}\n")
        return self.password


@contextmanager
def private_registry() -> Iterator[PrivateRegistry]:
    """Run a registry until the block ends."""
    run = Path(f"/tmp/imageops-t{secrets.token_hex(3)}")  # noqa: S108 - made with mode 0700
    run.mkdir(mode=0o700)
    layout = Layout(checkout=run, run=run)
    layout.make()
    ways = finding.standard_ways(os.environ, lambda _: None)
    password = secrets.token_urlsafe(18)
    described = registry_services(layout, lambda part: finding.find(part, ways).path, password)
    service = next(one for one in described if one.name == AUTH).started()
    try:
        service.wait_ready()
        yield PrivateRegistry(service.address, layout.run / "registries" / "htpasswd", password)
    finally:
        end_services([service])
        remove_tree(run)
