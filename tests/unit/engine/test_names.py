from __future__ import annotations

import pytest

from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.classify import classify, retry_after
from imageops.engine.names import without_names
from imageops.engine.words import Call

ODD = (
    "toomanyrequests",
    "too-many-requests",
    "rate-limit",
    "rate-limiter",
    "retry-after",
    "denied",
    "forbidden",
    "unauthorized",
    "quota-exceeded",
    "immutable",
    "timeout",
    "unknown",
    "invalid",
    "url",
)
"""Names that users may give to an image, a project or a tag."""
HOST = "registry.example"
ABSENT = (
    "name unknown: The repository with name '{last}' does not exist in the registry with id '{first}'",
    "error from registry: The repository with name '{path}' does not exist in the registry with id '123456789012'",
    'manifest unknown: manifest tagged by "{tag}" is not found',
    'error from registry: manifest tagged by "{tag}" is not found',
    'error from registry: manifest tagged by \\"{tag}\\" is not found',
    "manifest unknown: The named manifest `{last}:{tag}` is not known to the registry",
    "name unknown: project {first} not found",
    "error from registry: project {first} not found",
    "error from registry: repository {path} not found",
    "error from registry: repository {last} not found in namespace {first}",
    "error from registry: repository named {last} not found in the project of {first}",
    "not found: artifact {path}:{tag} not found",
    "manifest unknown: Tag {tag} was deleted",
    "manifest unknown: tag={tag}",
    'manifest unknown: map[Name:{path} Revision:{tag} name:"{last}" tag:{tag}]',
    "name unknown: {last}",
    "manifest unknown: {tag}",
    "name unknown: no package of {first}, {last}, or {tag}.",
)
"""What registries say of an image that is not there."""


def absent(form: str, first: str, last: str, tag: str) -> Reason:
    """Return what a registry's words about such an image are taken for."""
    text = form.format(first=first, last=last, tag=tag, path=f"{first}/{last}")
    reference = Reference.parse(f"{HOST}/{first}/{last}:{tag}")
    return classify(Call.DISTRIBUTION, 500, text, reference=reference).reason


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize("form", ABSENT)
@pytest.mark.parametrize("name", ODD)
def test_no_name_makes_a_rate_limit(form: str, name: str) -> None:
    """It would pause the registry for everybody, by the name of a project, a repository or a tag."""
    for first, last, tag in ((name, "app", "1"), ("team", name, "1"), ("team", "app", name), (name, name, name)):
        assert absent(form, first, last, tag) is not Reason.RATE_LIMITED


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize("form", ABSENT[:-3])
@pytest.mark.parametrize("name", ODD)
def test_a_name_in_quotes_or_behind_what_it_names_decides_nothing(form: str, name: str) -> None:
    """What is absent is absent, whatever it is called."""
    for first, last, tag in ((name, "app", "1"), ("team", name, "1"), ("team", "app", name), (name, name, name)):
        assert absent(form, first, last, tag) is Reason.IMAGE_NOT_FOUND


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize("host", [f"{HOST}/team", "docker.io/library", "docker.io"])
def test_a_single_word_that_an_engine_repeats_decides_nothing(host: str) -> None:
    """Docker Hub's own images have one, and a daemon names them by it."""
    reference = Reference.parse(f"{host}/toomanyrequests:1")
    text = "pull access denied for toomanyrequests, repository does not exist or may require 'docker login'"
    assert classify(Call.PULL, 404, text, reference=reference).reason is Reason.AUTH_FAILED


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize(
    "text",
    [
        "toomanyrequests: toomanyrequests",
        "error from registry: toomanyrequests",
        "errors:\ntoomanyrequests: slow down\n",
        f'Head "https://{HOST}/v2/team/toomanyrequests/manifests/1": toomanyrequests: slow down',
        "error from registry: You have reached your pull rate limit of team/toomanyrequests",
        "error from registry: too many requests",
        "received unexpected HTTP status: 429 Too Many Requests",
    ],
)
def test_a_rate_limit_of_an_image_that_is_called_so_is_one(text: str) -> None:
    """The code with which an error begins, and any other words of a limit, are the registry's own."""
    reference = Reference.parse(f"{HOST}/team/toomanyrequests:1")
    assert classify(Call.DISTRIBUTION, 500, text, reference=reference).reason is Reason.RATE_LIMITED


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize("platform", ["linux/toomanyrequests", "toomanyrequests/amd64"])
def test_a_platform_makes_no_rate_limit(platform: str) -> None:
    """A user writes it, and an engine repeats it."""
    reference = Reference.parse(f"{HOST}/team/app:1")
    absent = f"no matching manifest for {platform} in the manifest list entries: no match for platform in manifest"
    assert classify(Call.PULL, 404, absent, reference=reference).reason is Reason.PLATFORM_NOT_FOUND
    wrong = f'"{platform}": unknown operating system or architecture: invalid argument'
    assert classify(Call.PULL, 400, wrong, reference=reference).reason is Reason.INVALID_SPEC


@pytest.mark.feature("retry.retry-after")
def test_a_name_says_no_time_to_wait() -> None:
    """Or a user could have a registry paused for 15 minutes."""
    text = "toomanyrequests: rate limit for team/retry-after:900"
    reference = Reference.parse(f"{HOST}/team/retry-after:900")
    assert retry_after(text, reference=reference) is None
    assert retry_after(f"{text}, retry-after: 30", reference=reference) == 30


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("name unknown: repository 'team/app' unknown", "name unknown: repository 'IMAGE' unknown"),
        ("'app' and \"team\" and `v1`", "'NAME' and \"NAME\" and `NAME`"),
        ("'apple' and team and v1", "'apple' and team and v1"),
        ("project team, tag v1.", "project NAME, tag NAME"),
        ("of https://registry.example/v2/team/app/manifests/v1", "of URL"),
    ],
)
def test_what_a_name_is_taken_out_of_stays(text: str, cleaned: str) -> None:
    """Other words than the image's, and its own where they stand alone, are left as they are."""
    assert without_names(text, Reference.parse(f"{HOST}/team/app:v1")) == cleaned
