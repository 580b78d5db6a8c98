"""Record what both Engines say when a registry answers as the products in `registry_answers` do.

    make up && .venv/bin/python -m tests.support.record_messages

writes tests/unit/engine/messages/registries-*.yaml anew. A message that was there keeps its reason; a new one gets the
one that the classifier gives it now, to be looked at before it is committed. An argument records only the answers whose
name contains it, and prints them.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from devcluster import env
from imageops.api.references import Reference
from imageops.engine.classify import classify
from imageops.engine.words import Call
from tests.support.local_daemon import LocalDaemon
from tests.support.product_registry import PASSWORD, REPOSITORY, TAG, USER, serving
from tests.support.registry_answers import ENGINES, Answer, At, Credential, answers

MESSAGES = Path(__file__).parents[1] / "unit" / "engine" / "messages"
PREFIX = "registries-"
_AT_ONCE = 6
_REFERENCE = f"127.0.0.1:5000/{REPOSITORY}:{TAG}"
_HEADER = """\
# What the {engine} said when a registry answered as a product of tests/support/registry_answers does. Written by
# tests/support/record_messages.py. `reason` is what the words alone have to be taken for; ports have been replaced. A
# status of null is an error inside an HTTP 200 stream.
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an Engine said, and how many log-ins it made for it."""

    answer: Answer
    engine: str
    call: Call
    status: int | None
    text: str | None
    """None if it said that all went well."""
    log_ins: int
    seconds: float


def record(engine: str, daemon: LocalDaemon, source: str, answer: Answer) -> list[Recorded]:
    """Have an Engine make each call that meets the answer."""
    found = []
    for call in _calls(answer):
        with serving(answer) as (registry, gate):
            target = f"{gate.address}/{REPOSITORY}:{TAG}"
            if call is Call.PUSH or answer.at is At.READ_BACK:
                target = f"{target}-new"
                daemon.tag(source, target)
            if answer.at in {At.MOUNT, At.SECOND_SCOPE}:
                _said(daemon, Call.PULL, f"{gate.address}/{REPOSITORY}:{TAG}", answer.credential)
                target = f"{gate.address}/team/other:{TAG}"
                daemon.tag(f"{gate.address}/{REPOSITORY}:{TAG}", target)
            if answer.at is At.READ_BACK:
                said = _said(daemon, Call.PUSH, target, answer.credential)
                assert said == (None, None), said
            before, begun = registry.log_ins, time.monotonic()
            status, text = _said(daemon, call, target, answer.credential)
            seconds = time.monotonic() - begun
            if text is not None:
                text = text.replace(gate.address, "127.0.0.1:5000")
                text = text.replace(gate.address.replace("127.0.0.1", "localhost"), "localhost:5000")
                text = re.sub(r"127\.0\.0\.1:\d+(?=->)", "127.0.0.1:5000", text)
            found.append(Recorded(answer, engine, call, status, text, registry.log_ins - before, seconds))
            daemon.remove(target)
            daemon.remove(f"{gate.address}/{REPOSITORY}:{TAG}")
    return found


def _calls(answer: Answer) -> Iterator[Call]:
    match answer.at:
        case At.BLOB | At.DAMAGED_BLOB | At.STORAGE:
            yield Call.PULL
        case At.START | At.SEND | At.FINISH | At.MOUNT | At.SECOND_SCOPE:
            yield Call.PUSH
        case At.READ_BACK:
            yield Call.DISTRIBUTION
        case _:
            yield from (Call.DISTRIBUTION, Call.PULL)


def _said(daemon: LocalDaemon, call: Call, reference: str, credential: Credential) -> tuple[int | None, str | None]:
    """Make a call as the operator makes it, and return the status and the words of its error."""
    name, _, tag = reference.rpartition(":")
    auth: dict[str, str] = {}
    if credential is not Credential.NONE:
        password = PASSWORD if credential is Credential.RIGHT else "a-wrong-password"
        auth = {"username": USER, "password": password, "serveraddress": name.partition("/")[0]}
    headers = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()}
    with daemon.client() as client:
        base = f"{client.base_url}/v{client.api_version}"
        arguments: Mapping[str, Any] = {"headers": headers, "stream": True, "timeout": 300}
        match call:
            case Call.DISTRIBUTION:
                response = client.get(f"{base}/distribution/{reference}/json", **arguments)
            case Call.PULL:
                response = client.post(f"{base}/images/create", params={"fromImage": name, "tag": tag}, **arguments)
            case _:
                response = client.post(f"{base}/images/{name}/push", params={"tag": tag}, **arguments)
        if response.status_code >= 300:
            return response.status_code, str(response.json()["message"])
        for line in response.iter_lines():
            said = json.loads(line)
            if "errorDetail" in said:
                return None, str(said["errorDetail"]["message"])
    return None, None


def _entry(recorded: Recorded, reason: str) -> dict[str, Any]:
    return {
        "product": recorded.answer.product,
        "case": recorded.answer.case,
        "operation": recorded.call.value,
        "status": recorded.status,
        "text": recorded.text,
        "reason": reason,
    }


def main(wanted: str | None) -> None:
    """Record, and write or print."""
    cluster = env.load()
    daemons = dict(zip(ENGINES, (cluster.docker_host_graphdriver, cluster.docker_host), strict=True))
    chosen = [answer for answer in answers() if wanted is None or wanted in answer.name]
    for engine, address in daemons.items():
        daemon = LocalDaemon(address)
        source = "imageops.dev/recorded:1"
        daemon.make(source, b"what is pushed")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = [one for some in pool.map(partial(record, engine, daemon, source), chosen) for one in some]
        daemon.remove(source)
        path = MESSAGES / f"{PREFIX}{engine.removeprefix('engine-')}.yaml"
        former = _former(path)
        entries = []
        for one in found:
            told = f"{one.log_ins} log-ins, {one.seconds:.1f} s, {one.status} {one.text}"
            sys.stdout.write(f"{engine} {one.answer.name} {one.call}: {told}\n")
            if one.text is None:
                continue
            key = (one.answer.product, one.answer.case, one.call.value)
            now = classify(one.call, one.status, one.text, reference=Reference.parse(_REFERENCE)).reason
            entries.append(_entry(one, former.get(key, now.value)))
        if wanted is None:
            body = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=116)
            path.write_text(_HEADER.format(engine=engine.replace("-", " ").capitalize()) + body, encoding="utf-8")


def _former(path: Path) -> dict[tuple[str, str, str], str]:
    if not path.exists():
        return {}
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {(one["product"], one["case"], one["operation"]): one["reason"] for one in entries}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
