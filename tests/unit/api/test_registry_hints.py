"""Hints for a refused credential differ by registry."""

from __future__ import annotations

import pytest

from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.registry_hints import auth_hint
from imageops.engine.requests import Request
from imageops.engine.words import Call

WORDS = {
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com": "ECRAuthorizationToken",
    "shop.azurecr.io": "AcrPush",
    "europe-docker.pkg.dev": "artifactregistry",
    "eu.gcr.io": "artifactregistry",
    "ghcr.io": "read:packages",
    "docker.io": "Docker Hub",
    "quay.io": "robot account",
}


@pytest.mark.feature("error.hint.registry")
@pytest.mark.parametrize(("host", "word"), WORDS.items())
def test_a_known_registry_has_a_hint_of_its_own(host: str, word: str) -> None:
    """It names what this registry calls its credentials and rights, and fits into a status."""
    hint = auth_hint(host)
    assert hint is not None
    assert word in hint
    assert len(hint) <= 512


@pytest.mark.feature("error.hint.registry")
@pytest.mark.parametrize(
    "host", ["registry.example.com:5000", "127.0.0.1:5001", "azurecr.io.example.com", "evil-ghcr.io"]
)
def test_any_other_registry_has_the_hint_of_the_reason(host: str) -> None:
    """A host that only looks alike is another registry."""
    assert auth_hint(host) is None


@pytest.mark.feature("error.hint.registry")
@pytest.mark.parametrize(("image", "word"), [("ghcr.io/acme/app:1", "read:packages"), ("a.example/app:1", "secretRef")])
def test_the_error_of_a_refused_credential_carries_the_hint(image: str, word: str) -> None:
    """Of the registry's own, where it has one."""
    request = Request(Call.PULL, "POST", "/images/create", reference=Reference.parse(image))
    error = request.failure(401, "unauthorized: authentication required")
    assert error.reason is Reason.AUTH_FAILED
    assert word in error.hint
