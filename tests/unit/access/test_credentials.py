from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.access.credentials import HUB, normalised_host, parse_secret
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason

USER, PASSWORD, TOKEN = "robot", "correct-horse", "identity-battery"
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (USER, PASSWORD, TOKEN, PAIR)
JSON_TYPE, CFG_TYPE, BASIC_TYPE = (
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/dockercfg",
    "kubernetes.io/basic-auth",
)


def encoded(text: str | bytes) -> str:
    """Encode a value of `data`."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def config_secret(auths: Any, **rest: Any) -> dict[str, Any]:
    """Make a dockerconfigjson Secret."""
    data = {".dockerconfigjson": encoded(json.dumps({"auths": auths, **rest}))}
    return {"metadata": {"name": "s"}, "type": JSON_TYPE, "data": data}


def basic_secret(*, host: str | None = "registry.example", **data: str) -> dict[str, Any]:
    """Make a basic-auth Secret."""
    annotations = {"imageops.dev/registry": host} if host is not None else None
    return {"metadata": {"name": "s", "annotations": annotations}, "type": BASIC_TYPE, "data": data}


def reason_of(secret: dict[str, Any], host: str = "registry.example") -> Reason | None:
    """Return why a Secret cannot serve a host, after a look at what the error gives away."""
    try:
        parse_secret(secret).for_host(host)
    except OperationError as error:
        refusal = error
    else:
        return None
    for text in (str(refusal), refusal.message, refusal.hint, repr(refusal.__cause__)):
        assert not any(value in text for value in SECRETS), refusal.reason
    assert refusal.__suppress_context__ or refusal.__context__ is None
    return refusal.reason


@pytest.mark.parametrize(
    "secret",
    [
        config_secret({"registry.example": {"auth": PAIR}}),
        config_secret({"registry.example": {"username": USER, "password": PASSWORD}}),
        config_secret({"https://registry.example/v2/": {"auth": PAIR, "email": "x@example"}}),
        config_secret({"other.example": {}, "registry.example": {"auth": encoded(f"{USER}:{PASSWORD}\0\0")}}),
        {"type": CFG_TYPE, "data": {".dockercfg": encoded(json.dumps({"registry.example": {"auth": PAIR}}))}},
        basic_secret(username=encoded(USER), password=encoded(PASSWORD)),
    ],
    ids=["auth", "username", "url", "padded", "dockercfg", "basic-auth"],
)
def test_each_form_of_secret_is_read(secret: dict[str, Any]) -> None:
    """User name and password, for this host."""
    auth = parse_secret(secret).for_host("registry.example")
    assert auth is not None
    assert (auth.username, auth.password, auth.server) == (USER, PASSWORD, "registry.example")
    assert not any(value in repr(parse_secret(secret)) for value in SECRETS)


@pytest.mark.parametrize("field", ["identitytoken", "registrytoken"])
def test_a_token_needs_no_password(field: str) -> None:
    """As registries of clouds give them out."""
    secret = config_secret({"registry.example": {field: TOKEN, "auth": encoded("0000-0000:")}})
    auth = parse_secret(secret).for_host("registry.example")
    assert auth is not None
    assert TOKEN in {auth.identity_token, auth.registry_token}


@pytest.mark.feature("cred.exact-host")
@pytest.mark.parametrize(
    "asked",
    [
        "evil-a.example",
        "a.example:5000",
        "sub.a.example",
        "a.example.evil.example",
        "example",
        "a.exampl",
        "b.example",
        "docker.io",
    ],
)
def test_a_credential_serves_exactly_its_host(asked: str) -> None:
    """No sub-domain, no other port, nothing that ends or begins alike."""
    secret = parse_secret(config_secret({"a.example": {"auth": PAIR}}))
    assert secret.for_host("a.example") is not None
    assert secret.for_host("A.Example") is not None
    assert secret.for_host(asked) is None


@pytest.mark.feature("cred.exact-host")
@given(
    named=st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}(:[0-9]{2,4})?", fullmatch=True),
    asked=st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}(:[0-9]{2,4})?", fullmatch=True),
)
def test_two_hosts_that_differ_share_no_credential(named: str, asked: str) -> None:
    """Whatever they are."""
    secret = parse_secret(config_secret({named: {"auth": PAIR}}))
    assert (secret.for_host(asked) is not None) == (named == asked)


HUB_SPELLINGS = [
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
    "https://index.docker.io/v1/",
    "https://index.docker.io/v1",
    "http://index.docker.io/v2/",
    "index.docker.io/v1/",
    "https://docker.io",
    "https://registry-1.docker.io/",
    " https://index.docker.io/v1/ ",
    "Docker.IO",
]


@pytest.mark.feature("cred.hub-aliases")
@pytest.mark.parametrize("spelling", HUB_SPELLINGS)
def test_every_usual_spelling_of_docker_hub_serves_its_images(spelling: str) -> None:
    """And no other host."""
    secret = parse_secret(config_secret({spelling: {"auth": PAIR}}))
    assert list(secret.by_host) == [HUB]
    assert secret.for_host("docker.io") is not None
    for other in ("docker.io.evil.example", "notdocker.io", "hub.docker.io", "www.docker.com", "docker.io:443"):
        assert secret.for_host(other) is None


@pytest.mark.feature("cred.hub-aliases")
def test_the_first_of_several_spellings_counts() -> None:
    """The order of the Secret decides."""
    other = {"username": "second", "password": "x"}
    secret = parse_secret(config_secret({"docker.io": {"auth": PAIR}, "https://index.docker.io/v1/": other}))
    auth = secret.for_host("docker.io")
    assert auth is not None
    assert auth.username == USER


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("Registry.Example:5000", "registry.example:5000"),
        ("https://user@registry.example/team/app", "registry.example"),
        ("[::1]:5000", "[::1]:5000"),
        ("http://[", ""),
        ("a\u2100b", ""),
        ("registry .example", ""),
        ("registry.example /v2/", ""),
        ("registry\x1b[31m.example", ""),
        ("", ""),
    ],
)
def test_a_name_address_or_url_is_brought_to_host_and_port(server: str, host: str) -> None:
    """What is no address has no host."""
    assert normalised_host(server) == host


BROKEN = {
    "no type": {"metadata": {"name": "s"}, "data": {}},
    "opaque": {"metadata": {"name": "s"}, "type": "Opaque", "data": {"password": encoded(PASSWORD)}},
    "no data": {"metadata": {"name": "s"}, "type": JSON_TYPE},
    "no base64": {"type": JSON_TYPE, "data": {".dockerconfigjson": "%%%"}},
    "no text": {"type": JSON_TYPE, "data": {".dockerconfigjson": encoded(b"\xff\xfe")}},
    "no json": {"type": JSON_TYPE, "data": {".dockerconfigjson": encoded(f"{{{PASSWORD}")}},
    "deep json": {"type": JSON_TYPE, "data": {".dockerconfigjson": encoded("[" * 100_000)}},
    "a list": {"type": JSON_TYPE, "data": {".dockerconfigjson": encoded("[]")}},
    "not text but a number": {"type": JSON_TYPE, "data": {".dockerconfigjson": 7}},
    "auths is a list": config_secret([PASSWORD]),
    "entry is text": config_secret({"registry.example": PASSWORD}),
    "no host": config_secret({"": {"auth": PAIR}}),
    "broken host": config_secret({"http://[": {"auth": PAIR}}),
    "auth is no base64": config_secret({"registry.example": {"auth": f"{PASSWORD}!"}}),
    "auth is a number": config_secret({"registry.example": {"auth": 7}}),
    "auth has no colon": config_secret({"registry.example": {"auth": encoded(PASSWORD)}}),
    "no password": config_secret({"registry.example": {"username": USER}}),
    "no user": config_secret({"registry.example": {"password": PASSWORD}}),
    "password is a number": config_secret({"registry.example": {"username": USER, "password": 7}}),
    "dockercfg is a list": {"type": CFG_TYPE, "data": {".dockercfg": encoded("[]")}},
    "basic-auth without annotation": basic_secret(host=None, username=encoded(USER), password=encoded(PASSWORD)),
    "basic-auth without password": basic_secret(username=encoded(USER)),
    "basic-auth with an empty user": basic_secret(username="", password=encoded(PASSWORD)),
}


@pytest.mark.feature("cred.unusable")
@pytest.mark.parametrize("secret", [pytest.param(secret, id=name) for name, secret in BROKEN.items()])
def test_a_broken_secret_is_invalid_and_tells_nothing(secret: dict[str, Any]) -> None:
    """SecretInvalid, never a crash; the error repeats no content."""
    assert reason_of(secret) is Reason.SECRET_INVALID


@pytest.mark.feature("cred.unusable")
@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (config_secret({}, credHelpers={"registry.example": "ecr-login"}), Reason.CREDENTIAL_HELPER_UNSUPPORTED),
        (config_secret({}, credsStore="osxkeychain"), Reason.CREDENTIAL_HELPER_UNSUPPORTED),
        (config_secret({"registry.example": {}}, credsStore="x"), Reason.CREDENTIAL_HELPER_UNSUPPORTED),
        (config_secret({}, credHelpers={"other.example": "ecr-login"}), None),
        (config_secret({"registry.example": {"auth": PAIR}}, credsStore="x"), None),
        (config_secret(None, credHelpers=[]), None),
    ],
    ids=["helper", "store", "logged-out", "of-another-host", "with-an-entry", "none"],
)
def test_a_credential_helper_is_not_run(secret: dict[str, Any], reason: Reason | None) -> None:
    """Nor is the image asked for anonymously instead."""
    assert reason_of(secret) is reason


@pytest.mark.feature("cred.unusable")
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_content_makes_the_parser_fail_otherwise(content: Any) -> None:
    """Whatever JSON there is, in each place."""
    for auths in (content, {"registry.example": content}, {"registry.example": {"auth": content}}):
        assert reason_of(config_secret(auths, credHelpers=content)) in {
            None,
            Reason.SECRET_INVALID,
            Reason.CREDENTIAL_HELPER_UNSUPPORTED,
        }
