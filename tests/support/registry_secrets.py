"""Write the Secrets that hold registry credentials, in every form Kubernetes knows."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.support.objects import Objects

FORMS = ("dockerconfigjson-auth", "dockerconfigjson-pair", "dockercfg", "basic-auth")
"""The forms that `create_registry_secret` writes."""


def create_registry_secret(
    objects: Objects,
    name: str,
    host: str,
    pair: tuple[str, str],
    *,
    form: str = "dockerconfigjson-auth",
) -> None:
    """Create a Secret with user name and password for a registry host."""
    user, password = pair
    entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    plain = {"username": user, "password": password}
    match form:
        case "dockerconfigjson-auth":
            create_docker_config(objects, name, {host: entry})
        case "dockerconfigjson-pair":
            create_docker_config(objects, name, {host: plain})
        case "dockercfg":
            text = json.dumps({host: entry})
            objects.create_secret(name, "kubernetes.io/dockercfg", {".dockercfg": text})
        case "basic-auth":
            annotations = {"imageops.dev/registry": host}
            objects.create_secret(name, "kubernetes.io/basic-auth", plain, annotations=annotations)
        case _:
            raise ValueError(form)


def create_docker_config(objects: Objects, name: str, auths: dict[str, Any], **rest: Any) -> None:
    """Create a Secret with what is given as its list of registries."""
    text = json.dumps({"auths": auths, **rest})
    objects.create_secret(name, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": text})
