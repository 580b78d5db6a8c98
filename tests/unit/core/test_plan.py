from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from imageops.api.admission import check
from imageops.api.fields import DNS_SUBDOMAIN
from imageops.api.session import SessionSpec, Step
from imageops.api.status import OperationStatus
from imageops.core.plan import ChildNames, kinds_of, makes, needs, operation_spec
from imageops.core.session_summary import PULL, PUSH, TAG
from tests.support.builders import DIGEST, KINDS, OTHER_ID, UID, image, promote_step, pull_step, session_spec

SESSION_UIDS = (UID, "0000-another")


def name_of(session: str, step: str, *, uid: str = UID, run: int = 1, kind: str = PULL, attempt: int = 0) -> str:
    """Return the name of a child."""
    return ChildNames(session, uid, run).of(step, kind, attempt)


@pytest.mark.feature("session.names")
def test_no_two_children_share_a_name() -> None:
    """Whatever tells two children apart tells their names apart: also `a` with `b-c` beside `a-b` with `c`."""
    sessions = ["a", "a-b", "a.b", "x" * 63, "x" * 62 + "y", "x" * 40]
    steps = ["c", "b-c", "s" * 40, "s" * 39 + "t", "s" * 12]
    names = [
        name_of(session, step, uid=uid + session, run=run, kind=kind, attempt=attempt)
        for session, step, uid, run, kind, attempt in product(
            sessions,
            steps,
            SESSION_UIDS,
            (1, 2, 12),
            (PULL, TAG, PUSH),
            (0, 1),
        )
    ]
    assert len(set(names)) == len(names)


@pytest.mark.feature("session.names")
def test_a_session_made_anew_under_an_old_name_has_other_children() -> None:
    """The uid is part of the hash, so that nothing of the former Session is adopted."""
    assert name_of("release", "ship") != name_of("release", "ship", uid="another")
    assert name_of("release", "ship") == name_of("release", "ship")


@pytest.mark.feature("session.names")
@pytest.mark.parametrize("session", ["a", "x" * 63, f"{'x' * 39}.yy", f"{'x' * 39}-y.z", "1.2.3"])
@pytest.mark.parametrize("step", ["a", "s" * 40, f"{'s' * 11}-tail"])
def test_a_name_is_readable_valid_and_short(session: str, step: str) -> None:
    """The front of both names, and 10 hexadecimal digits."""
    name = name_of(session, step)
    assert re.fullmatch(DNS_SUBDOMAIN, name)
    assert len(name) <= 64
    assert name.startswith(session[:30])
    assert re.search("-[0-9a-f]{10}$", name)


def step_and_spec(step: dict[str, Any], **fields: Any) -> tuple[SessionSpec, Step]:
    """Make a Session of one step."""
    spec = session_spec(step, **fields)
    return spec, spec.steps[0]


def made(
    step: dict[str, Any],
    kind: str,
    *,
    former: dict[str, OperationStatus] | None = None,
    image_store: str | None = "containerd",
    **fields: Any,
) -> dict[str, Any]:
    """Return the spec of a child, which the second gate must pass as well."""
    spec, only = step_and_spec(step, **fields)
    result = operation_spec(spec, only, kind, session="release", former=former or {}, image_store=image_store)
    check(KINDS[kind], KINDS[kind].spec_model.model_validate(result))
    return result


OWN = {"sessionRef": {"name": "release"}, "backoffLimit": 5}


def test_a_plain_step_is_one_operation_with_the_fields_of_its_action() -> None:
    """Credentials of the Session are not copied: they are looked up when they are needed."""
    step = {"name": "a", "pull": {"image": "x.example/a:1", "platforms": ["linux/arm64"], "secretRef": {"name": "s"}}}
    assert made(step, PULL, secretRef={"name": "other"}) == OWN | {
        "image": "x.example/a:1",
        "platforms": ["linux/arm64"],
        "imagePullPolicy": "IfNotPresent",
        "secretRef": {"name": "s"},
    }


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (TAG, {"tag": {"source": "x.example/a:1", "target": "x.example/a:2", "ifExists": "Replace"}}),
        (PUSH, {"push": {"image": "x.example/a:2", "ifExists": "Skip"}}),
    ],
)
def test_tag_and_push_steps_carry_their_fields(kind: str, action: dict[str, Any]) -> None:
    """What the action says is what the operation asks."""
    assert made({"name": "a", **action}, kind) == OWN | next(iter(action.values()))


@pytest.mark.parametrize(
    ("step", "session", "expected"),
    [
        ({}, {}, {"backoffLimit": 5}),
        ({}, {"backoffLimit": 0, "daemonName": "builder"}, {"backoffLimit": 0, "daemonName": "builder"}),
        ({"backoffLimit": 1, "timeoutSeconds": 9}, {"backoffLimit": 3}, {"backoffLimit": 1, "timeoutSeconds": 9}),
        (
            {"pull": {"image": "x.example/a:1", "daemonName": "edge"}},
            {"daemonName": "builder"},
            {"daemonName": "edge", "backoffLimit": 5},
        ),
    ],
    ids=["defaults", "of-the-session", "of-the-step", "of-the-action"],
)
def test_the_nearest_setting_wins(step: dict[str, Any], session: dict[str, Any], expected: dict[str, Any]) -> None:
    """An action before its step, a step before its Session."""
    result = made(pull_step("a") | step, PULL, **session)
    settings = {"backoffLimit", "timeoutSeconds", "daemonName"}
    assert {name: value for name, value in result.items() if name in settings} == expected


def test_a_promotion_is_pull_tag_and_push() -> None:
    """The tag names the image by the digest that was pulled; only the push guards the registry's tag."""
    step = promote_step(
        "ship",
        sourceSecretRef={"name": "s"},
        targetSecretRef={"name": "t"},
        ifExists="Replace",
    )
    former = {PULL: OperationStatus(image=image(id=OTHER_ID))}
    assert kinds_of(step_and_spec(step)[1]) == (PULL, TAG, PUSH)
    assert made(step, PULL) == OWN | {
        "image": "staging.example/ship:1",
        "platforms": ["All"],
        "imagePullPolicy": "Always",
        "secretRef": {"name": "s"},
    }
    assert made(step, TAG, former=former) == OWN | {
        "source": DIGEST,
        "target": "prod.example/ship:1",
        "ifExists": "Replace",
    }
    assert made(step, PUSH, former=former) == OWN | {
        "image": "prod.example/ship:1",
        "platforms": ["All"],
        "ifExists": "Replace",
        "secretRef": {"name": "t"},
    }


@pytest.mark.parametrize("platforms", [["All"], ["linux/arm64"]], ids=["whole", "one"])
@pytest.mark.parametrize(("store", "expected"), [("containerd", DIGEST), ("graphdriver", OTHER_ID)])
def test_a_promotion_tags_what_was_pulled_whatever_the_source_tag_has_become(
    platforms: list[str],
    store: str,
    expected: str,
) -> None:
    """A containerd store knows an index by its digest, and nothing by the id of one platform."""
    former = {PULL: OperationStatus(image=image(id=OTHER_ID))}
    tag = made(promote_step("ship", platforms=platforms), TAG, former=former, image_store=store)
    assert tag["source"] == expected


@pytest.mark.parametrize(
    ("known", "store"),
    [
        (None, "containerd"),
        (image(digest=None), "containerd"),
        (image(id=None), "graphdriver"),
        (image(present=False), "containerd"),
    ],
    ids=["no-image", "no-digest", "no-id", "dry-run"],
)
def test_a_promotion_whose_pull_found_nothing_tags_the_reference(known: Any, store: str) -> None:
    """What is unknown is not invented."""
    tag = made(promote_step("ship"), TAG, former={PULL: OperationStatus(image=known)}, image_store=store)
    assert tag["source"] == "staging.example/ship:1"


@pytest.mark.parametrize(
    ("platforms", "store", "pulled", "pushed"),
    [
        ([], "containerd", ["All"], ["All"]),
        ([], "graphdriver", None, None),
        (["linux/arm64"], "containerd", ["linux/arm64"], ["linux/arm64"]),
        (["linux/arm64"], "graphdriver", ["linux/arm64"], None),
    ],
)
def test_a_promotion_takes_the_whole_index_or_one_platform(
    platforms: list[str],
    store: str,
    pulled: list[str] | None,
    pushed: list[str] | None,
) -> None:
    """A graph driver pushes what it has, which is the platform that was pulled: by default that of the host."""
    step = promote_step("ship", **({"platforms": platforms} if platforms else {}))
    former = {PULL: OperationStatus(image=image())}
    assert made(step, PULL, image_store=store).get("platforms") == pulled
    assert made(step, PUSH, former=former, image_store=store).get("platforms") == pushed


PULL_STEP = {"name": "a", "pull": {"image": "x.example/a:1"}}
TAG_STEP = {"name": "a", "tag": {"source": "x.example/a:1", "target": "a:2"}}
ID_STEP = {"name": "a", "tag": {"source": OTHER_ID, "target": "a:2"}}
PUSH_STEP = {"name": "a", "push": {"image": "a:2"}}


@pytest.mark.parametrize(
    ("step", "needed", "made_there"),
    [
        (PULL_STEP, None, {"x.example/a:1"}),
        (TAG_STEP, "x.example/a:1", {"docker.io/library/a:2"}),
        (ID_STEP, None, {"docker.io/library/a:2"}),
        (PUSH_STEP, "docker.io/library/a:2", set()),
        (promote_step("ship"), None, {"staging.example/ship:1", "prod.example/ship:1"}),
    ],
    ids=["pull", "tag", "tag-by-id", "push", "promote"],
)
def test_a_step_needs_and_makes_references(step: dict[str, Any], needed: str | None, made_there: set[str]) -> None:
    """In their normalised form, so that they can be compared."""
    only = step_and_spec(step)[1]
    assert needs(only) == needed
    assert makes(only) == made_there


def test_a_dry_run_is_handed_on() -> None:
    """To every operation of the Session."""
    assert made(pull_step("a"), PULL, dryRun=True)["dryRun"] is True


@pytest.mark.feature("session.names")
def test_a_name_that_is_taken_is_passed_over() -> None:
    """By an object of another owner; the next name is as deterministic as the first."""
    taken = name_of("release", "ship")
    other = ChildNames("release", UID, 1, frozenset({taken})).of("ship", PULL, 0)
    assert other != taken
    assert other == ChildNames("release", UID, 1, frozenset({taken})).of("ship", PULL, 0)
