from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from imageops.access.credential_choice import Refusals
from imageops.access.resolution import CredentialSource
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import SecretReference
from imageops.cluster.secrets import NamespaceSecrets
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.engine.protocol import Receipt, RecordSink, RegistryAuth, RemoteImage
from imageops.runtime.attempts import OperationCredentials
from imageops.tools.check import CheckTool
from imageops.tools.credential_fallback import CredentialFallback
from imageops.tools.execution import Execution
from imageops.tools.limits import Requester
from imageops.tools.pull import PullArguments, PullTool
from imageops.tools.push import PushArguments, PushTool
from tests.support.builders import DIGEST
from tests.support.recorder import Recorder
from tests.support.recording_engine import RecordingEngine, daemon, local, remote
from tests.support.scripted_api import ScriptedApi

REF = Reference.parse("registry.example/team/app:1")
NOTHING = "nothing"
"""What an anonymous question carries."""


@dataclass(slots=True)
class Registry(RecordingEngine):
    """A daemon whose registry takes some passwords, and hides the image from others."""

    takes: set[str] = field(default_factory=set)
    hides_from: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    """What happens while it is asked."""

    async def distribution(self, reference: Reference, *, auth: RegistryAuth | None) -> RemoteImage | None:
        """Answer by password."""
        password = str(auth.password) if auth is not None else NOTHING
        self.asked.append(password)
        self.meanwhile()
        if password in self.hides_from:
            return None
        if password not in self.takes:
            raise OperationError(Reason.AUTH_FAILED)
        return await RecordingEngine.distribution(self, reference, auth=auth)

    async def pull(
        self, reference: Reference, *, platform: str | None, auth: RegistryAuth | None, sink: RecordSink
    ) -> Receipt:
        """Refuse an anonymous pull, before which nothing is asked, where nobody may be anonymous."""
        if auth is None and NOTHING not in self.takes:
            self.asked.append(NOTHING)
            raise OperationError(Reason.AUTH_FAILED)
        return await RecordingEngine.pull(self, reference, platform=platform, auth=auth, sink=sink)


class Namespace:
    """One operation's run in a namespace with a ServiceAccount `robot`."""

    def __init__(self, *listed: str, takes: set[str]) -> None:
        self.api = ScriptedApi()
        self.engine = Registry(registry={str(REF): remote()}, takes=takes)
        self.refusals = Refusals(1)
        self.shown: SecretReference | None = None
        entries = [{"name": name} for name in listed]
        self.api.put("/api/v1/namespaces/team/serviceaccounts/robot", {"imagePullSecrets": entries})

    def secret(self, name: str, entries: dict[str, str], kind: str = "kubernetes.io/dockerconfigjson") -> None:
        """Make a Secret with passwords by the name of their registry."""
        auths = {server: {"username": "robot", "password": password} for server, password in entries.items()}
        text = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
        self.api.put(f"/api/v1/namespaces/team/secrets/{name}", {"type": kind, "data": {".dockerconfigjson": text}})

    async def attempt(self, *, own: str | None = None, writes: bool = False, check: bool = False) -> Outcome:
        """Make an attempt, or a check, with a credential of the ServiceAccount's or the operation's own Secret."""
        server: Any = self.api
        credentials = OperationCredentials(
            secrets=NamespaceSecrets(server, "team"),
            own=CredentialSource(secret=own, service_account="robot"),
            session=CredentialSource(),
            writes=writes,
            refusals=self.refusals,
        )
        place, requester = daemon(self.engine), Requester("uid", "team")
        pull = PullTool(place, credentials, requester)
        tool: Any = PushTool(place, credentials, requester) if writes else CheckTool(pull, DIGEST) if check else pull
        arguments = PushArguments(reference=REF) if writes else PullArguments(reference=REF)
        execution = Execution[Any, Any](CredentialFallback(tool, credentials), arguments, ProgressTracker(), Recorder())
        outcome = await execution.run()
        self.shown = execution.facts.auth.secret_ref if execution.facts.auth is not None else None
        return outcome


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.shown")
@pytest.mark.parametrize("writes", [False, True])
async def test_a_stale_secret_before_a_good_one_costs_one_question(*, writes: bool) -> None:
    """The status says which one it was in the end, and the next attempt begins with that."""
    team = Namespace("stale", "good", takes={"right"})
    team.engine.images = {str(REF): local(REF)} if writes else {}
    team.secret("stale", {"registry.example": "wrong"})
    team.secret("good", {"registry.example": "right"})
    assert (await team.attempt(writes=writes)).reason.reason_class.value == "Success"
    assert (team.engine.asked[:2], team.engine.asked.count("wrong")) == (["wrong", "right"], 1)
    assert team.shown == SecretReference(name="good")
    team.engine.images = {str(REF): local(REF)} if writes else {}
    assert (await team.attempt(writes=writes)).reason.reason_class.value == "Success"
    assert team.engine.asked.count("wrong") == 1


@pytest.mark.feature("cred.kubelet")
async def test_all_refused_is_told_with_each_of_them() -> None:
    """One question for each credential; the same one in two Secrets is one credential."""
    team = Namespace("first", "second", "third", takes=set())
    for name, password in (("first", "one"), ("second", "two"), ("third", "one")):
        team.secret(name, {"registry.example": password})
    outcome = await team.attempt()
    assert (outcome.reason, team.engine.asked) == (Reason.AUTH_FAILED, ["one", "two"])
    assert "Secret 'first' (refused)" in str(outcome.hint)


@pytest.mark.feature("cred.kubelet")
async def test_the_longest_path_is_tried_first_within_a_secret() -> None:
    """The others of the Secret follow; those of other paths never."""
    team = Namespace(takes={"host"})
    entries = {"registry.example": "host", "registry.example/other": "other", "registry.example/team": "team"}
    team.secret("mine", entries)
    assert (await team.attempt(own="mine")).reason is Reason.PULLED
    assert team.engine.asked == ["team", "host"]


@pytest.mark.feature("cred.kubelet")
async def test_an_image_that_is_hidden_from_one_account_is_asked_for_by_the_next() -> None:
    """And is absent if it is hidden from all."""
    team = Namespace("first", "second", takes={"two"})
    team.engine.hides_from = {"one"}
    team.secret("first", {"registry.example": "one"})
    team.secret("second", {"registry.example": "two"})
    assert (await team.attempt()).reason is Reason.PULLED
    team = Namespace("first", "second", takes=set())
    team.engine.hides_from = {"one"}
    team.secret("first", {"registry.example": "one"})
    team.secret("second", {"registry.example": "two"})
    assert (await team.attempt()).reason is Reason.IMAGE_NOT_FOUND


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.late-secret")
async def test_an_absent_secret_is_gone_without_until_the_registry_refuses() -> None:
    """Then it is waited for, without a question to the registry, and used when it comes."""
    public = Namespace("late", takes={NOTHING})
    assert (await public.attempt()).reason is Reason.PULLED
    private = Namespace("late", "stale", takes={"right"})
    private.secret("stale", {"registry.example": "wrong"})
    for _ in range(3):
        outcome = await private.attempt()
        assert (outcome.reason, private.engine.asked) == (Reason.SECRET_NOT_FOUND, ["wrong"])
        assert "'late'" in outcome.message
    private.secret("late", {"registry.example": "right"})
    assert (await private.attempt()).reason is Reason.PULLED
    assert (private.engine.asked, private.shown) == (["wrong", "right"], SecretReference(name="late"))


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.unusable")
async def test_listed_secrets_of_no_use_are_named_once_the_registry_refuses() -> None:
    """A public image does not need them."""
    public = Namespace("opaque", "store", takes={NOTHING})
    private = Namespace("opaque", "store", takes=set())
    for team in (public, private):
        team.secret("opaque", {}, kind="Opaque")
        text = base64.b64encode(b'{"credsStore": "desktop"}').decode()
        body = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": text}}
        team.api.put("/api/v1/namespaces/team/secrets/store", body)
    assert (await public.attempt()).reason is Reason.PULLED
    outcome = await private.attempt()
    assert (outcome.reason, private.engine.asked) == (Reason.AUTH_FAILED, [NOTHING])
    assert ("'opaque'" in str(outcome.hint), "'store'" in str(outcome.hint)) == (True, True)


@pytest.mark.feature("cred.wrong-once")
async def test_a_check_asks_with_what_the_run_found_good() -> None:
    """One that was refused in the run is not sent with every check; a failed check is no verdict for the next."""
    team = Namespace("stale", "good", takes={"right"})
    team.secret("stale", {"registry.example": "wrong"})
    team.secret("good", {"registry.example": "right"})
    await team.attempt()
    assert (await team.attempt(check=True)).reason is Reason.ALREADY_PRESENT
    assert team.engine.asked == ["wrong", "right", "right"]
    team.engine.takes = set()
    assert (await team.attempt(check=True)).reason is Reason.AUTH_FAILED
    team.engine.takes = {"right"}
    assert (await team.attempt(check=True)).reason is Reason.ALREADY_PRESENT


@pytest.mark.feature("cred.kubelet")
async def test_a_list_that_changes_under_way_ends() -> None:
    """The credential that was left is gone when its turn comes."""
    team = Namespace("stale", "good", takes={"right"})
    team.secret("stale", {"registry.example": "wrong"})
    team.secret("good", {"registry.example": "right"})
    team.engine.meanwhile = lambda: team.secret("good", {"elsewhere.example": "right"})
    assert (await team.attempt()).reason is Reason.AUTH_FAILED
    assert team.engine.asked == ["wrong"]
