from __future__ import annotations

from imageops.engine.protocol import RegistryAuth
from imageops.tools.accepted_credentials import MAX_OPERATIONS, AcceptedCredentials
from imageops.tools.limits import Requester

HOST = "registry.example"
GOOD, OTHER = RegistryAuth(username="anna", password="planted"), RegistryAuth(username="anna", password="second")
FIRST, NEXT = Requester("uid", "team", run=1), Requester("uid", "team", run=2)


def test_what_was_taken_is_known_for_its_run_registry_and_credential_alone() -> None:
    """Not for another operation, run, registry or password, of which the registry has said nothing."""
    acceptance = AcceptedCredentials()
    acceptance.note(FIRST, HOST, GOOD)
    assert acceptance.has(FIRST, HOST, GOOD)
    for requester, host, auth in (
        (NEXT, HOST, GOOD),
        (Requester("other", "team", run=1), HOST, GOOD),
        (FIRST, "other.example", GOOD),
        (FIRST, HOST, OTHER),
        (FIRST, HOST, None),
    ):
        assert not acceptance.has(requester, host, auth)
    acceptance.note(NEXT, HOST, OTHER)
    assert acceptance.has(NEXT, HOST, OTHER)
    assert not acceptance.has(FIRST, HOST, GOOD)


def test_it_does_not_grow_for_ever_and_keeps_no_password() -> None:
    """Whoever was heard of longest ago is forgotten."""
    acceptance = AcceptedCredentials()
    for number in range(MAX_OPERATIONS + 1):
        acceptance.note(Requester(f"uid-{number}", "team"), HOST, GOOD)
    assert not acceptance.has(Requester("uid-0", "team"), HOST, GOOD)
    assert acceptance.has(Requester("uid-1", "team"), HOST, GOOD)
    assert "planted" not in repr(acceptance)
