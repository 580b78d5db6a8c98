"""Carry a sequence out on a live object, and judge every step of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faults.objects import Objects
from faults.record import GROUP_PATH
from faults.schema import crd, judging
from faults.schema.judging import Body
from faults.schema.probes import Probe, Sequence, When
from faults.schema.subjects import Site, Spec, difference, with_value
from faults.upstream import MERGE_PATCH, Upstream
from imageops.api.kinds import GROUP, REQUESTED_AT, SESSION, VERSION
from imageops.api.status import Phase

REST_SECONDS = 45.0
"""Within this an object comes to rest, on a busy machine too; alone it takes well below a second."""
_SOON_SECONDS = 60
"""An object whose time to live is at most this may be gone when it is looked for."""
NAME = "subject"


@dataclass(slots=True)
class Tally:
    """What a sequence did and found."""

    operations: int = 0
    """Writes to the API server that were taken, or refused with the name of the field."""
    refused: int = 0
    findings: list[str] = field(default_factory=list)
    touched: set[crd.Path_] = field(default_factory=set)
    """Properties for which a value was taken."""
    rules: set[str] = field(default_factory=set)
    """Messages of CEL rules that refused something."""


@dataclass(slots=True)
class Player:
    """Plays one sequence in one namespace."""

    sequence: Sequence
    site: Site
    admin: Upstream
    objects: Objects
    tally: Tally = field(default_factory=Tally)
    _spec: Spec = field(default_factory=dict)
    """What the object asks for now."""
    _at: str = ""
    """What is being done, for the words of a finding."""
    _tokens: int = 0

    async def play(self) -> Tally:
        """Make the object, try each value, and delete it."""
        self._at = "at birth"
        first = await self._made()
        for probe in self.sequence.probes:
            self._at = str(probe)
            try:
                await self._tried(probe, first)
            except _LostError as lost:
                self._find(str(lost))
                first = await self._made_anew()
        self._at = "at the end"
        if not self.sequence.subject.ends:
            await self._change(self._spec | {"cancel": True})
            await self._rests()
        await self._gone()
        return self.tally

    async def _tried(self, probe: Probe, first: Body) -> None:
        base = self.site.real(self.sequence.subject.spec)
        changed = self.site.real(with_value(self.sequence.subject.spec, probe.path, probe.candidate.value))
        if probe.when is When.BORN:
            await self._born(probe, changed)
            return
        if probe.when in {When.SUSPENDED, When.RESUMED}:
            await self._change(base | {"suspend": True})
            await self._rests()
            changed |= {"suspend": changed.get("suspend", True)}
        if probe.when is When.CANCELLED:
            changed |= {"cancel": changed.get("cancel", True)}
        token = self._token() if probe.when is When.ASKED else None
        if not await self._taken(probe, changed, token):
            if self._spec != base:
                await self._put_back(base, None)
        elif probe.when is When.DELETED:
            await self._settles(probe)
            await self._gone()
            await self._made()
        else:
            if probe.when is not When.IN_HASTE:
                await self._settles(probe)
            if probe.when is When.RESUMED:
                await self._resume(probe, {key: value for key, value in changed.items() if key != "suspend"})
            # A deadline that was over for a moment may have ended the run: only a token starts another then.
            ended = not self.sequence.subject.ends and probe.path[0] == "activeDeadlineSeconds"
            again = ended or probe.when in {When.ASKED, When.CANCELLED}
            await self._put_back(base, self._token() if again else None)
        await self._ends_as(first)

    async def _born(self, probe: Probe, spec: Spec) -> None:
        """Make another object with the value, and delete it."""
        answer = await self._write("POST", "", self._document("born", spec))
        if not self._judged(probe, spec, answer):
            return
        body = await self._rests("born", spec=spec)
        if body is not None:
            self._refused_by_operator(probe, body)
        await self._gone("born")

    async def _settles(self, probe: Probe) -> None:
        """See the object come to rest with the value."""
        body = await self._rests()
        if body is None:  # its time to live was over
            return
        if probe.when in {When.AT_REST, When.DELETED}:
            self._refused_by_operator(probe, body)

    async def _resume(self, probe: Probe, spec: Spec) -> None:
        """Resume the object, and see it come to rest; one that had ended may be gone since it was seen at rest."""
        answer = await self._write("PATCH", NAME, self._patch(spec, None))
        if answer.status == _NOT_FOUND and _may_go(spec):
            return
        self._must_be_taken(answer, spec)
        await self._settles(probe)

    async def _taken(self, probe: Probe, spec: Spec, token: str | None) -> bool:
        """Change the spec; tell whether the API server took it."""
        answer = await self._write("PATCH", NAME, self._patch(spec, token))
        taken = self._judged(probe, spec, answer)
        if taken:
            self._spec = spec
        return taken

    def _judged(self, probe: Probe, spec: Spec, answer: Answer) -> bool:
        """Judge what the API server said of a value."""
        kind = self.sequence.subject.kind
        wrong = list(crd.problems(crd.schema(kind, "spec"), spec, "spec"))
        broken = {rule for rule in crd.rules(kind) if rule in answer.message}
        if answer.taken:
            self.tally.operations += 1
            self.tally.touched |= {probe.path[:length] for length in range(1, len(probe.path) + 1)}
            if wrong:
                self._find(f"the API server took it, though {wrong[0]}")
            return True
        problems = list(judging.of_refusal(probe.path, answer.message))
        if not wrong and not broken:
            problems.append(f"refused: {answer.message}")
        self.tally.findings += [f"{self._at}: {problem}" for problem in problems]
        self.tally.operations += not problems
        self.tally.refused += not problems
        self.tally.rules |= broken
        return False

    def _refused_by_operator(self, probe: Probe, body: Body) -> None:
        """Judge whether the operator refused what it must."""
        reasons = probe.candidate.reasons
        if reasons and judging.reason(body) not in reasons:
            self._find(f"ends {judging.reason(body)} instead of {', '.join(reasons)}")

    async def _put_back(self, base: Spec, token: str | None) -> None:
        """Give the object its first spec again; make it anew where it is gone, or where a rule forbids that."""
        if await self._is_gone():
            await self._made()
            return
        answer = await self._write("PATCH", NAME, self._patch(base, token))
        if answer.taken:
            self.tally.operations += 1
            self._spec = base
        elif answer.status == _NOT_FOUND:
            await self._made()
        else:
            broken = {rule for rule in crd.rules(self.sequence.subject.kind) if rule in answer.message}
            if not broken:
                self._find(f"cannot be put back: {answer.message}")
            self.tally.rules |= broken
            self.tally.operations += 1
            await self._gone()
            await self._made()

    async def _ends_as(self, first: Body) -> None:
        """Compare the end with the first one."""
        body = await self._rests()
        if body is None:
            raise _LostError("is gone")
        was, now = judging.end_state(first), judging.end_state(body)
        for key, value in was.items():
            if now[key] != value:
                self._find(f"after it was put back, {key} is {now[key]} and was {value}")

    async def _made(self) -> Body:
        """Make the object and return it when it is at rest."""
        self._spec = self.site.real(self.sequence.subject.spec)
        answer = await self._write("POST", "", self._document(NAME, self._spec))
        if not answer.taken:
            raise _LostError(answer.message)
        self.tally.operations += 1
        body = await self._rests()
        if body is None:
            raise _LostError("is gone")
        return body

    async def _made_anew(self) -> Body:
        await self._gone()
        return await self._made()

    async def _change(self, spec: Spec) -> None:
        """Change the spec in a way that must be taken."""
        self._must_be_taken(await self._write("PATCH", NAME, self._patch(spec, None)), spec)

    def _must_be_taken(self, answer: Answer, spec: Spec) -> None:
        if not answer.taken:
            raise _LostError(answer.message)
        self.tally.operations += 1
        self._spec = spec

    async def _rests(self, name: str = NAME, *, spec: Spec | None = None) -> Body | None:
        """Return an object when it is at rest in its newest version; None if its time to live was over before."""
        stored = await self._stored(name)
        wanted = 0 if stored is None else int(stored["metadata"]["resourceVersion"])
        token = None if stored is None else (stored["metadata"].get("annotations") or {}).get(REQUESTED_AT)
        spec = self._spec if spec is None else spec

        def holds(body: Body | None) -> bool:
            if body is None:
                return _may_go(spec)
            if int(body["metadata"]["resourceVersion"]) < wanted:
                return False
            return self._is_at_rest(body, token)

        body = await self._until(name, holds)
        if body is not None:
            self.tally.findings += [f"{self._at}: {problem}" for problem in judging.of_end(body)]
        return body

    def _is_at_rest(self, body: Body, token: str | None) -> bool:
        status = body.get("status") or {}
        if not self.sequence.subject.ends and status.get("phase") == Phase.RUNNING:
            works = status.get("running") if body["kind"] == SESSION.kind else "daemon" in status
            return bool(works) and bool(status.get("observedGeneration") == body["metadata"]["generation"])
        if "completionTime" in status and token is not None and status.get("lastHandledRequestedAt") != token:
            return False
        return judging.at_rest(body, self.objects.newest())

    async def _until(self, name: str, holds: Callable[[Body | None], bool]) -> Body | None:
        try:
            async with asyncio.timeout(REST_SECONDS):
                return await self.objects.either(name, holds)
        except TimeoutError:
            body = await self._stored(name)
            status = json.dumps((body or {}).get("status"))[:1_000]
            raise _LostError(f"does not come to rest: {status}") from None

    async def _gone(self, name: str = NAME) -> None:
        """Delete an object, and return when it is gone."""
        answer = await self._write("DELETE", name, {"propagationPolicy": "Background"})
        if answer.taken:
            self.tally.operations += 1
            await self._until(name, lambda body: body is None)

    async def _is_gone(self) -> bool:
        return await self._stored(NAME) is None

    async def _stored(self, name: str) -> Body | None:
        answer = await self._write("GET", name, None)
        return answer.body if answer.taken else None

    async def _write(self, method: str, name: str, body: Any) -> Answer:
        path = f"{GROUP_PATH}/namespaces/{self.objects.namespace}/{self.sequence.subject.kind.plural}"
        target = f"{path}/{name}" if name else path
        query = "" if method in {"GET", "DELETE"} else "?fieldValidation=Strict"
        headers = {"Content-Type": MERGE_PATCH if method == "PATCH" else "application/json"}
        content = None if body is None else json.dumps(body).encode()
        async with self.admin.send(method, target + query, headers=headers, content=content) as answer:
            document = json.loads(await answer.read())
        return Answer(answer.status, document)

    def _document(self, name: str, spec: Spec) -> Body:
        kind = self.sequence.subject.kind.kind
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}

    def _patch(self, spec: Spec, token: str | None) -> Body:
        change: Body = {"spec": difference(self._spec, spec)}
        return change if token is None else {**change, "metadata": {"annotations": {REQUESTED_AT: token}}}

    def _token(self) -> str:
        self._tokens += 1
        return f"token-{self._tokens}"

    def _find(self, what: str) -> None:
        self.tally.findings.append(f"{self._at}: {what}")


def _may_go(spec: Spec) -> bool:
    """Tell whether an object may be gone when it is looked for: it lives for a short time after its end."""
    return bool(spec.get("ttlSecondsAfterFinished", _SOON_SECONDS + 1) <= _SOON_SECONDS)


_NOT_FOUND = 404
_FIRST_REFUSAL = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: Body

    @property
    def taken(self) -> bool:
        """Whether it did what was asked."""
        return self.status < _FIRST_REFUSAL

    @property
    def message(self) -> str:
        """The words of a refusal."""
        return "" if self.taken else str(self.body.get("message", ""))


class _LostError(Exception):
    """The object is not where the sequence can go on with it."""
