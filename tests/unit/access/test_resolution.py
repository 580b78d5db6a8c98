from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from imageops.access.credentials import SecretCredentials
from imageops.access.resolution import CredentialSource, resolve
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine.protocol import RegistryAuth

HOST = "registry.example"
NOTHING = CredentialSource()


@dataclass(slots=True)
class Namespace:
    """The Secrets of a namespace by the hosts they serve, and its ServiceAccounts by their Secrets."""

    secrets: dict[str, str | Reason] = field(default_factory=dict)
    accounts: dict[str, list[str | None]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    async def secret(self, name: str) -> SecretCredentials:
        """Return a Secret's credentials."""
        self.read.append(name)
        host = self.secrets.get(name, Reason.SECRET_NOT_FOUND)
        if isinstance(host, Reason):
            raise OperationError(host)
        auth = RegistryAuth(username=name, password="p", server=host)
        return SecretCredentials(name=name, by_host={host: auth}, helpers=frozenset())

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
}
ACCOUNTS: dict[str, list[str | None]] = {
    "robot": ["account"],
    "useless": ["elsewhere"],
    "empty": [],
    "waits": ["not-yet", "account"],
    "broken": ["broken", "account"],
    "default": ["not-yet", "elsewhere", "default"],
}


async def chosen(
    own: CredentialSource,
    session: CredentialSource,
    *,
    host: str = HOST,
    accounts: dict[str, list[str | None]] | None = None,
    writes: bool = False,
) -> str | Reason:
    """Return the Secret that is used, with how it was found, or why there is none."""
    reader = Namespace(dict(NAMESPACE), ACCOUNTS if accounts is None else accounts)
    try:
        result = await resolve(host, own=own, session=session, reader=reader, writes=writes)
    except OperationError as error:
        return error.reason
    shown = result.shown
    assert (result.auth is None) == (shown.secret_ref is None)
    return f"{shown.method} {shown.secret_ref.name}" if shown.secret_ref is not None else shown.method


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
        (source(account="waits"), NOTHING, Reason.SECRET_NOT_FOUND),
        (source(account="broken"), NOTHING, Reason.SECRET_INVALID),
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
async def test_a_secret_that_nobody_made_yet_blocks_no_public_image() -> None:
    """Of the ServiceAccount default alone, and not where a Secret is broken."""
    assert await chosen(NOTHING, NOTHING, accounts={"default": ["not-yet"]}) == "Anonymous"
    assert await chosen(NOTHING, NOTHING, accounts={"default": ["broken"]}) == Reason.SECRET_INVALID
    assert await chosen(NOTHING, NOTHING, accounts={}) == "Anonymous"


async def test_nothing_is_read_that_does_not_matter() -> None:
    """An own Secret is the only one that is looked at."""
    reader = Namespace(dict(NAMESPACE), ACCOUNTS)
    await resolve(HOST, own=source("mine"), session=source("session"), reader=reader, writes=False)
    assert reader.read == ["mine"]


@pytest.mark.feature("cred.own-namespace")
async def test_an_entry_that_is_no_name_is_passed_over_and_told_by_its_position() -> None:
    """The API server takes any text there; the text itself is not repeated."""
    reader = Namespace(dict(NAMESPACE), {"robot": [None, "account", None], "odd": ["elsewhere", None]})
    found = await resolve(HOST, own=source(account="robot"), session=NOTHING, reader=reader, writes=False)
    assert (found.auth is not None, "imagePullSecrets[0] of ServiceAccount 'robot'" in found.note) == (True, True)
    found = await resolve(HOST, own=source(account="odd"), session=NOTHING, reader=reader, writes=False)
    assert (found.auth, "imagePullSecrets[1] of ServiceAccount 'odd'" in found.note) == (None, True)
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
    found = await resolve(HOST, own=NOTHING, session=NOTHING, reader=reader, writes=True)
    assert (found.auth, reader.read) == (None, [])
    assert "secretRef" in found.note
