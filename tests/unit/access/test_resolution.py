from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from imageops.access.credentials import MAX_TRIED, SecretCredentials
from imageops.access.resolution import MAX_LISTED, Candidates, CredentialSource, resolve
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference

HOST = "registry.example"
REF = Reference.parse(f"{HOST}/team/app:1")
NOTHING = CredentialSource()
HELPER = "a helper"


@dataclass(slots=True)
class Namespace:
    """The Secrets of a namespace by the registries they serve, and its ServiceAccounts by their Secrets."""

    secrets: dict[str, str | Reason] = field(default_factory=dict)
    accounts: dict[str, list[str | None]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    async def secret(self, name: str) -> SecretCredentials:
        """Return a Secret's credentials."""
        self.read.append(name)
        host = self.secrets.get(name, Reason.SECRET_NOT_FOUND)
        if isinstance(host, Reason):
            raise OperationError(host)
        if host == HELPER:
            return SecretCredentials(name=name, entries={}, helpers=("*",))
        entries = {server: {"username": name, "password": server} for server in host.split()}
        return SecretCredentials(name=name, entries=entries)

    async def image_pull_secrets(self, service_account: str) -> Sequence[str | None] | None:
        """Return the Secrets of an account."""
        self.read.append(f"account {service_account}")
        return self.accounts.get(service_account)


NAMESPACE = {
    "mine": HOST,
    "session": HOST,
    "account": HOST,
    "default": HOST,
    "elsewhere": "other.example",
    "broken": Reason.SECRET_INVALID,
    "helper": HELPER,
    "team": f"{HOST}/team {HOST} *.example",
    "other-team": f"{HOST}/other",
    "wide": "*.example",
    "deep": f"{HOST}/team/app",
}
ACCOUNTS: dict[str, list[str | None]] = {
    "robot": ["account"],
    "useless": ["elsewhere"],
    "empty": [],
    "waits": ["not-yet", "account"],
    "broken": ["broken", "account"],
    "hopeless": ["broken", "helper", "not-yet", "elsewhere"],
    "two": ["account", "mine"],
    "mixed": ["wide", "other-team", "account", "team", "deep", "account"],
    "default": ["not-yet", "elsewhere", "default"],
}


async def candidates(
    own: CredentialSource,
    session: CredentialSource,
    *,
    host: str = HOST,
    accounts: dict[str, list[str | None]] | None = None,
    writes: bool = False,
) -> Candidates:
    """Return what may be tried."""
    reader = Namespace(dict(NAMESPACE), ACCOUNTS if accounts is None else accounts)
    reference = Reference.parse(f"{host}/team/app:1")
    return await resolve(reference, own=own, session=session, reader=reader, writes=writes)


async def chosen(
    own: CredentialSource,
    session: CredentialSource,
    *,
    host: str = HOST,
    accounts: dict[str, list[str | None]] | None = None,
    writes: bool = False,
) -> str | Reason:
    """Return the Secret that is tried first, with how it was found, or why there is none."""
    try:
        result = await candidates(own, session, host=host, accounts=accounts, writes=writes)
    except OperationError as error:
        return error.reason
    first = result.in_order[0]
    assert (first.auth is None) == (first.shown.secret_ref is None)
    assert first.auth is None or first.auth.server == host
    return f"{first.shown.method} {first.shown.secret_ref.name}" if first.shown.secret_ref else first.shown.method


def source(secret: str | None = None, account: str | None = None) -> CredentialSource:
    """Name credentials."""
    return CredentialSource(secret=secret, service_account=account)


@pytest.mark.feature("cred.precedence")
@pytest.mark.parametrize(
    ("own", "session", "expected"),
    [
        (source("mine"), source("session"), "SecretRef mine"),
        (source("mine", "robot"), source("session"), "SecretRef mine"),
        (source("elsewhere"), source("session"), Reason.SECRET_INVALID),
        (source("broken"), source("session"), Reason.SECRET_INVALID),
        (source("not-yet"), source("session"), Reason.SECRET_NOT_FOUND),
        (source(account="robot"), source("session"), "ServiceAccount account"),
        (source(account="useless"), source("session"), "Anonymous"),
        (source(account="empty"), NOTHING, "Anonymous"),
        (source(account="nobody"), source("session"), Reason.SECRET_NOT_FOUND),
        (source(account="waits"), NOTHING, "ServiceAccount account"),
        (source(account="broken"), NOTHING, "ServiceAccount account"),
        (source(account="hopeless"), NOTHING, "Anonymous"),
        (source("helper"), source("session"), Reason.CREDENTIAL_HELPER_UNSUPPORTED),
        (source("other-team"), source("session"), Reason.SECRET_INVALID),
        (NOTHING, source("helper"), Reason.CREDENTIAL_HELPER_UNSUPPORTED),
        (NOTHING, source("not-yet"), Reason.SECRET_NOT_FOUND),
        (NOTHING, source("session"), "Session session"),
        (NOTHING, source("session", "robot"), "Session session"),
        (NOTHING, source("elsewhere", "robot"), "ServiceAccount account"),
        (NOTHING, source("elsewhere"), "ServiceAccount default"),
        (NOTHING, source(account="robot"), "ServiceAccount account"),
        (NOTHING, source("broken"), Reason.SECRET_INVALID),
        (NOTHING, NOTHING, "ServiceAccount default"),
    ],
)
async def test_the_nearest_source_decides(
    own: CredentialSource,
    session: CredentialSource,
    expected: str | Reason,
) -> None:
    """An own Secret has to serve the host; what comes from further away serves the hosts it names."""
    assert await chosen(own, session) == expected


@pytest.mark.feature("cred.precedence")
@pytest.mark.parametrize("session", [NOTHING, source("session"), source("elsewhere", "useless")])
async def test_a_public_image_stays_pullable(session: CredentialSource) -> None:
    """No Secret of the surroundings names its host."""
    assert await chosen(NOTHING, session, host="public.example") == "Anonymous"


@pytest.mark.feature("cred.precedence")
@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("listed", ["not-yet", "broken", "helper"])
@pytest.mark.parametrize("account", ["robot", "default"])
async def test_a_listed_secret_of_no_use_blocks_no_public_image(account: str, listed: str) -> None:
    """Be it absent, broken or naming a helper, and be the account named or not; it is told of all the same."""
    own = NOTHING if account == "default" else source(account=account)
    found = await candidates(own, NOTHING, accounts={account: [listed]})
    assert [candidate.auth for candidate in found.in_order] == [None]
    assert [f"Secret {listed!r}" in told for told in found.passed_over] == [True]
    assert (found.awaited is not None) == (listed == "not-yet")
    assert await chosen(NOTHING, NOTHING, accounts={}) == "Anonymous"


@pytest.mark.feature("cred.kubelet")
async def test_all_that_is_gone_without_is_told_and_nothing_of_what_is_in_it() -> None:
    """With a reason for each; the first that is absent is waited for."""
    found = await candidates(source(account="hopeless"), NOTHING)
    assert found.passed_over == (
        "Secret 'broken' (no usable credentials)",
        "Secret 'helper' (names a credential helper)",
        "Secret 'not-yet' (not to be had now)",
    )
    assert found.awaited is not None
    assert found.awaited.reason is Reason.SECRET_NOT_FOUND


@pytest.mark.feature("cred.kubelet")
async def test_what_is_most_to_the_point_is_tried_first_and_then_the_list_counts() -> None:
    """Over all Secrets of a ServiceAccount; each credential once; none of another path."""
    found = await candidates(source(account="two"), NOTHING)
    assert [one.auth.username for one in found.in_order if one.auth] == ["account", "mine"]
    found = await candidates(source(account="mixed"), NOTHING)
    tried = [(one.auth.username, one.auth.password) for one in found.in_order if one.auth]
    assert tried == [
        ("deep", f"{HOST}/team/app"),
        ("team", f"{HOST}/team"),
        ("account", HOST),
        ("team", HOST),
        ("wide", "*.example"),
        ("team", "*.example"),
    ]


@pytest.mark.feature("cred.kubelet")
async def test_an_own_secret_is_tried_entry_by_entry() -> None:
    """All that is in it for the image, and nothing of anybody else's."""
    for own, session in ((source("team"), source("session")), (NOTHING, source("team"))):
        found = await candidates(own, session)
        assert [one.auth.password for one in found.in_order if one.auth] == [f"{HOST}/team", HOST, "*.example"]
        assert (found.passed_over, found.awaited) == ((), None)


@pytest.mark.feature("cred.kubelet")
async def test_a_long_list_is_read_to_its_limit() -> None:
    """Each Secret is a request to the API server in each attempt; what is behind the limit is told of."""
    names: list[str | None] = [f"absent-{number}" for number in range(MAX_LISTED)]
    reader = Namespace(dict(NAMESPACE), {"robot": [*names, *names, "account"]})
    found = await resolve(REF, own=source(account="robot"), session=NOTHING, reader=reader, writes=False)
    assert reader.read == ["account robot", *names]
    assert found.in_order[0].auth is None
    assert "ServiceAccount 'robot'" in found.passed_over[-1]


async def test_nothing_is_read_that_does_not_matter() -> None:
    """An own Secret is the only one that is looked at."""
    reader = Namespace(dict(NAMESPACE), ACCOUNTS)
    await resolve(REF, own=source("mine"), session=source("session"), reader=reader, writes=False)
    assert reader.read == ["mine"]


@pytest.mark.feature("cred.own-namespace")
async def test_an_entry_that_is_no_name_is_passed_over_and_told_by_its_position() -> None:
    """The API server takes any text there; the text itself is not repeated."""
    reader = Namespace(dict(NAMESPACE), {"robot": [None, "account", None], "odd": ["elsewhere", None]})
    found = await resolve(REF, own=source(account="robot"), session=NOTHING, reader=reader, writes=False)
    assert found.in_order[0].auth is not None
    assert found.passed_over == ("imagePullSecrets[0] of ServiceAccount 'robot' (not the name of a Secret)",)
    found = await resolve(REF, own=source(account="odd"), session=NOTHING, reader=reader, writes=False)
    assert found.in_order[0].auth is None
    assert found.passed_over == ("imagePullSecrets[1] of ServiceAccount 'odd' (not the name of a Secret)",)
    assert reader.read == ["account robot", "account", "account odd", "elsewhere"]


@pytest.mark.feature("cred.precedence")
@pytest.mark.parametrize(
    ("own", "session", "expected"),
    [
        (source("mine"), NOTHING, "SecretRef mine"),
        (NOTHING, source("session"), "Session session"),
        (source(account="robot"), NOTHING, "ServiceAccount account"),
        (source(account="default"), NOTHING, "ServiceAccount default"),
        (NOTHING, source(account="robot"), "ServiceAccount account"),
        (NOTHING, source("elsewhere"), "Anonymous"),
        (NOTHING, NOTHING, "Anonymous"),
    ],
)
async def test_a_push_uses_what_is_named_for_it(
    own: CredentialSource, session: CredentialSource, expected: str
) -> None:
    """Never what happens to lie in the ServiceAccount default, which serves the pulls of pods."""
    accounts: dict[str, list[str | None]] = {"robot": ["account"], "default": ["default"]}
    assert await chosen(own, session, accounts=accounts, writes=True) == expected


@pytest.mark.feature("cred.precedence")
async def test_an_anonymous_push_says_what_to_name() -> None:
    """And does not even read the account."""
    reader = Namespace(dict(NAMESPACE), ACCOUNTS)
    found = await resolve(REF, own=NOTHING, session=NOTHING, reader=reader, writes=True)
    assert (found.in_order[0].auth, reader.read) == (None, [])
    assert "secretRef" in found.advice


@pytest.mark.feature("cred.kubelet")
async def test_a_list_of_good_secrets_is_not_tried_without_end() -> None:
    """Each is a question to the registry."""
    names: list[str | None] = [f"s{number}" for number in range(20)]
    reader = Namespace({str(name): HOST for name in names}, {"robot": names})
    found = await resolve(REF, own=source(account="robot"), session=NOTHING, reader=reader, writes=False)
    assert len(found.in_order) == MAX_TRIED
