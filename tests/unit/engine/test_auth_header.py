from __future__ import annotations

import base64
import json

import pytest

from imageops.engine.auth_header import auth_header, secrets
from imageops.engine.protocol import RegistryAuth

AUTH = RegistryAuth(username="robot", password="p ss", server="registry.test:5000")


def decoded(auth: RegistryAuth | None) -> dict[str, str]:
    """Read the header as the daemon does."""
    return dict(json.loads(base64.urlsafe_b64decode(auth_header(auth)["X-Registry-Auth"])))


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (AUTH, {"username": "robot", "password": "p ss", "serveraddress": "registry.test:5000"}),
        (RegistryAuth(identity_token="i", server="r"), {"identitytoken": "i", "serveraddress": "r"}),
        (RegistryAuth(registry_token="t", server="r"), {"registrytoken": "t", "serveraddress": "r"}),
        (None, {}),
    ],
)
def test_every_form_of_a_credential_is_encoded(auth: RegistryAuth | None, expected: dict[str, str]) -> None:
    """The header holds the fields that are there and no others; anonymous is an empty one, never none."""
    assert decoded(auth) == expected


def test_a_password_of_any_letters_survives() -> None:
    """The header's alphabet is the URL-safe one, which the daemon demands."""
    auth = RegistryAuth(username="ü", password="\u00ff\u00fe?>~", server="r")
    assert decoded(auth)["password"] == "\u00ff\u00fe?>~"
    assert not {"+", "/"} & set(auth_header(auth)["X-Registry-Auth"])


def test_a_credential_shows_nothing_of_itself() -> None:
    """Its repr names the registry only."""
    auth = RegistryAuth(username="robot", password="planted-1", identity_token="planted-2", registry_token="planted-3")
    assert repr(auth) == "RegistryAuth(server='')"


def test_all_that_is_secret_is_known_to_the_redactor() -> None:
    """Password, tokens, and the joint form that Basic encodes."""
    assert set(secrets(AUTH)) == {"robot:p ss", "p ss", "robot"}
    assert secrets(RegistryAuth(identity_token="i", registry_token="t")) == ("i", "t")
    assert secrets(None) == ()
