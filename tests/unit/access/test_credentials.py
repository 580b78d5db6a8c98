from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.access.credentials import MAX_BYTES, MAX_ENTRIES, MAX_TRIED, parse_secret
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine.auth_header import auth_header
from imageops.engine.protocol import RegistryAuth

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


def found(secret: dict[str, Any], image: str = "registry.example/app") -> list[RegistryAuth]:
    """Return the credentials for an image, written host/repository."""
    host, _, repository = image.partition("/")
    return [match.auth for match in parse_secret(secret).for_image(host, repository)]


def reason_of(secret: dict[str, Any]) -> Reason | None:
    """Return why a Secret cannot serve a host, after a look at what the error gives away."""
    try:
        found(secret)
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
    [auth] = found(secret)
    assert (auth.username, auth.password, auth.server) == (USER, PASSWORD, "registry.example")
    assert not any(value in repr(parse_secret(secret)) for value in SECRETS)


@pytest.mark.parametrize("field", ["identitytoken", "registrytoken"])
def test_a_token_needs_no_password(field: str) -> None:
    """As registries of clouds give them out."""
    secret = config_secret({"registry.example": {field: TOKEN, "auth": encoded("0000-0000:")}})
    [auth] = found(secret)
    assert TOKEN in {auth.identity_token, auth.registry_token}


ACCEPTED = {
    "without padding": {"auth": PAIR.rstrip("=")},
    "in lines": {"auth": f"{PAIR[:8]}\n{PAIR[8:]}\r\n"},
    "in lines without padding": {"auth": f" {PAIR[:8]}\n{PAIR[8:]}".rstrip("=")},
    "too much padding": {"auth": f"{PAIR.rstrip('=')}===="},
    "beside an email": {"auth": PAIR, "email": "x@example"},
    "beside an email that is a number": {"auth": PAIR, "email": 7},
    "before the pair": {"auth": PAIR, "username": "other", "password": "other"},
    "empty, beside the pair": {"auth": "", "username": USER, "password": PASSWORD},
    "null, beside the pair": {"auth": None, "username": USER, "password": PASSWORD, "identitytoken": None},
    "names in upper case": {"Username": USER, "PASSWORD": PASSWORD},
    "NUL around the password": {"auth": encoded(f"{USER}:\0{PASSWORD}\0\0")},
}


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("entry", [pytest.param(entry, id=name) for name, entry in ACCEPTED.items()])
def test_an_entry_that_docker_or_the_kubelet_takes_is_taken(entry: dict[str, Any]) -> None:
    """However it was written."""
    [auth] = found(config_secret({"registry.example": entry}))
    assert (auth.username, auth.password) == (USER, PASSWORD)


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("password", ["a:b:c", ":", "pässwörd", "密码", "p?>~ÿ", " with spaces ", '"\\'])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_every_password_arrives_as_it_was_written(encode: Any, password: str) -> None:
    """Colons, letters of any script, and both alphabets of base64."""
    [auth] = found(config_secret({"registry.example": {"auth": encode(f"{USER}:{password}".encode()).decode()}}))
    assert (auth.username, auth.password) == (USER, password)
    header = json.loads(base64.urlsafe_b64decode(auth_header(auth)["X-Registry-Auth"]))
    assert header["password"] == password


BESIDE: dict[str, Any] = {
    "null": None,
    "text": PASSWORD,
    "a list": [],
    "no base64": {"auth": "%%%"},
    "no text": {"auth": encoded(b"\xff\xfe:x")},
    "no colon": {"auth": encoded(PASSWORD)},
    "a number": {"auth": 7},
    "no password": {"username": USER},
    "too long": {"username": USER, "password": "x" * (MAX_BYTES + 1)},
    "half a letter": {"username": USER, "password": "\ud800"},
}


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("server", ["other.example", "", "http://[", "registry.example:5000", "registry.example/other"])
@pytest.mark.parametrize("entry", [pytest.param(entry, id=name) for name, entry in BESIDE.items()])
def test_an_entry_that_was_not_asked_for_hurts_nobody(server: str, entry: Any) -> None:
    """Whatever is wrong with it; it matters to its own registry alone."""
    secret = config_secret({server: entry, "registry.example": {"auth": PAIR}})
    [auth] = found(secret)
    assert auth.password == PASSWORD


@pytest.mark.feature("cred.unusable")
@pytest.mark.parametrize("entry", [pytest.param(entry, id=name) for name, entry in BESIDE.items() if entry])
def test_an_entry_that_was_asked_for_has_to_be_right(entry: Any) -> None:
    """If nothing else in the Secret is for the image."""
    assert reason_of(config_secret({"registry.example": entry, "other.example": {"auth": PAIR}})) is (
        Reason.SECRET_INVALID
    )


@pytest.mark.feature("cred.unusable")
@pytest.mark.parametrize("entry", [None, {}, {"auth": ""}, {"username": "", "password": ""}, {"auth": encoded(":")}])
def test_an_entry_without_content_is_none(entry: Any) -> None:
    """As `docker logout` leaves it behind."""
    assert found(config_secret({"registry.example": entry})) == []


@pytest.mark.feature("cred.kubelet")
def test_the_longest_path_goes_first_and_the_others_follow() -> None:
    """Each with its own password; what is for another path is not among them."""
    entries = {
        "*.example": {"username": "glob", "password": "p"},
        "registry.example": {"username": "host", "password": "p"},
        "registry.example/a": {"username": "a", "password": "p"},
        "registry.example/b": {"username": "b", "password": "p"},
        "https://registry.example/v2/b/app": {"username": "b-app", "password": "p"},
    }
    for order in (entries, dict(reversed(entries.items()))):
        secret = config_secret(order)
        assert [auth.username for auth in found(secret, "registry.example/b/app")] == ["b-app", "b", "host", "glob"]
        assert [auth.username for auth in found(secret, "registry.example/a/app")] == ["a", "host", "glob"]
        assert [auth.username for auth in found(secret, "other.example/a")] == ["glob"]
    assert {auth.server for auth in found(config_secret(entries))} == {"registry.example"}


@pytest.mark.feature("cred.kubelet")
def test_a_credential_is_as_long_as_it_may_be() -> None:
    """64 KiB and not a byte more: beyond, a daemon would refuse the header in its own words."""
    secret = config_secret({"registry.example": {"username": "u", "password": "x" * (MAX_BYTES - 1)}})
    assert len(found(secret)) == 1
    secret = config_secret({"registry.example": {"username": "u", "password": "ä" * (MAX_BYTES // 2)}})
    assert reason_of(secret) is Reason.SECRET_INVALID
    secret = config_secret({"registry.example": {"registrytoken": f"{TOKEN}\n"}})
    assert reason_of(secret) is Reason.SECRET_INVALID


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"auths": {"registry.example": {"auth": "%s"}}}',
        '{"Auths": {"registry.example": {"Auth": "%s"}}}',
        '{"auths": {"registry.example": {}, "registry.example": {"auth": "%s"}}}',
        '{"auths": {"registry.example": {"auth": "x", "auth": "%s"}}}',
        '{"auths": {"registry.example": {"auth": "%s"}}, "HttpHeaders": 7, "credHelpers": null}',
    ],
    ids=["byte order mark", "names in upper case", "entry twice", "field twice", "more"],
)
def test_the_document_around_is_read_as_generously(text: str) -> None:
    """Of what stands there twice, the last counts."""
    data = {".dockerconfigjson": encoded(text % PAIR)}
    [auth] = found({"metadata": {"name": "s"}, "type": JSON_TYPE, "data": data})
    assert auth.password == PASSWORD


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
    secret = config_secret({spelling: {"auth": PAIR}})
    assert len(found(secret, "docker.io/library/nginx")) == 1
    for other in ("docker.io.evil.example", "notdocker.io", "hub.docker.io", "www.docker.com", "docker.io:443"):
        assert found(secret, f"{other}/library/nginx") == []


@pytest.mark.feature("cred.hub-aliases")
def test_the_first_of_several_spellings_goes_first() -> None:
    """The order of the Secret decides."""
    other = {"username": "second", "password": "x"}
    secret = config_secret({"docker.io": {"auth": PAIR}, "https://index.docker.io/v1/": other})
    assert [auth.username for auth in found(secret, "docker.io/library/nginx")] == [USER, "second"]


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
        (config_secret({}, credHelpers={"*.example": "ecr-login"}), Reason.CREDENTIAL_HELPER_UNSUPPORTED),
        (config_secret({}, credHelpers={"other.example": "ecr-login"}), None),
        (config_secret({"registry.example": {"auth": PAIR}}, credsStore="x"), None),
        (config_secret(None, credHelpers=[]), None),
    ],
    ids=["helper", "store", "logged-out", "wildcard", "of-another-host", "with-an-entry", "none"],
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


@pytest.mark.feature("cred.kubelet")
def test_a_secret_full_of_entries_for_one_image_costs_as_little_as_another() -> None:
    """So many credentials as are tried are decoded, those most to the point; one that names too many is of no use."""
    entry = {"username": USER, "password": PASSWORD}
    many = {f"u{number}@registry.example{'/team' * (number % 2)}": entry for number in range(MAX_ENTRIES)}
    matches = parse_secret(config_secret(many)).for_image("registry.example", "team/app")
    assert [match.rank for match in matches] == ["registry.example/team"] * MAX_TRIED
    many |= {"one.too.many": entry}
    with pytest.raises(OperationError) as caught:
        parse_secret(config_secret(many))
    assert caught.value.reason is Reason.SECRET_INVALID
