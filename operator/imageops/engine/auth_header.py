"""The header by which a credential goes along with one request, and the values in it that must never be logged."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageops.engine.protocol import RegistryAuth


def auth_header(auth: RegistryAuth | None) -> dict[str, str]:
    """Write the `X-Registry-Auth` header.

    Anonymous requests carry an empty one: Engine 20.10 refuses a push without the header, and no engine can then take
    a credential from somewhere else.
    """
    fields: dict[str, str | None] = {}
    if auth is not None:
        fields = {
            "username": auth.username,
            "password": auth.password,
            "identitytoken": auth.identity_token,
            "registrytoken": auth.registry_token,
            "serveraddress": auth.server,
        }
    present = {name: value for name, value in fields.items() if value}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(present).encode()).decode()}


def secrets(auth: RegistryAuth | None) -> tuple[str, ...]:
    """Return every value of a credential that may be echoed by a registry, the joint form of Basic included."""
    if auth is None:
        return ()
    joint = f"{auth.username}:{auth.password}" if auth.username and auth.password else None
    values = (joint, auth.password, auth.identity_token, auth.registry_token, auth.username)
    return tuple(value for value in values if value)
