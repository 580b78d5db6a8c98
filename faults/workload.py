"""What users do in every trial: objects of all kinds, good ones and bad ones, changed and deleted on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from faults.objects import Objects, ended, run_ended
from faults.record import Body
from faults.stage import Stage
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, REQUESTED_AT, SESSION

GRAPHDRIVER = "graphdriver"
WRONG_PASSWORD_SECRET = "wrong"  # noqa: S105 - the name of an object
PASSWORD_SECRET = "right"  # noqa: S105
Story = Callable[[Objects, Stage], Any]


async def play(objects: Objects, stage: Stage, waiting: set[str]) -> None:
    """Play all stories at the same time, and return when all have come to their end; `waiting` says which have not."""

    async def told(story: Story) -> None:
        waiting.add(story.__name__)
        await story(objects, stage)
        waiting.discard(story.__name__)

    async with asyncio.TaskGroup() as group:
        for story in STORIES:
            group.create_task(told(story))


async def absent(objects: Objects, stage: Stage) -> None:
    """Pull what the daemon does not have."""
    await objects.create(IMAGE_PULL, "absent", {"image": await stage.image("absent")})
    await objects.until("absent", ended)


async def present(objects: Objects, stage: Stage) -> None:
    """Pull what the daemon has."""
    await objects.create(IMAGE_PULL, "present", {"image": stage.base(1)})
    await objects.until("present", ended)


async def second(objects: Objects, stage: Stage) -> None:
    """Pull on the other Engine."""
    await objects.create(IMAGE_PULL, "second", {"image": await stage.image("second"), "daemonName": GRAPHDRIVER})
    await objects.until("second", ended)


async def tagged(objects: Objects, stage: Stage) -> None:
    """Tag, push, move the tag to another image, and push over what the registry has."""
    target = stage.target("tagged")
    await objects.create(IMAGE_TAG, "tagged", {"source": stage.base(1), "target": target})
    await objects.until("tagged", ended)
    await objects.create(IMAGE_PUSH, "pushed", {"image": target})
    await objects.until("pushed", ended)
    await objects.create(IMAGE_TAG, "moved", {"source": stage.base(2), "target": target, "ifExists": "Replace"})
    await objects.until("moved", ended)
    await objects.create(IMAGE_PUSH, "replaced", {"image": target, "ifExists": "Replace"})
    await objects.until("replaced", ended)


async def signed(objects: Objects, stage: Stage) -> None:
    """Push with a password."""
    target = stage.locked("signed")
    spec = {"source": stage.base(1), "target": target, "daemonName": GRAPHDRIVER}
    await objects.create(IMAGE_TAG, "locked", spec)
    await objects.until("locked", ended)
    secret = {"name": PASSWORD_SECRET}
    await objects.create(IMAGE_PUSH, "signed", {"image": target, "daemonName": GRAPHDRIVER, "secretRef": secret})
    await objects.until("signed", ended)


async def denied(objects: Objects, stage: Stage) -> None:
    """Pull with a wrong password."""
    secret = {"name": WRONG_PASSWORD_SECRET}
    await objects.create(IMAGE_PULL, "denied", {"image": stage.locked("denied"), "secretRef": secret})
    await objects.until("denied", ended)


async def again(objects: Objects, stage: Stage) -> None:
    """Pull what is not there yet, and ask once more when it is."""
    await objects.create(IMAGE_PULL, "again", {"image": stage.source("again")})
    await objects.until("again", ended)
    await stage.image("again")
    await objects.patch(IMAGE_PULL, "again", {"metadata": {"annotations": {REQUESTED_AT: "now"}}})
    await objects.until("again", run_ended(2))


async def flaky(objects: Objects, stage: Stage) -> None:
    """Pull from a registry that fails until an attempt was counted."""
    await stage.image("flaky")
    await objects.create(IMAGE_PULL, "flaky", {"image": stage.failing("flaky")})
    await objects.until("flaky", lambda body: bool(body["status"].get("failedAttempts")))
    stage.mend()
    await objects.until("flaky", ended)


async def cancelled(objects: Objects, stage: Stage) -> None:
    """Cancel what does not get on."""
    await stage.image("stuck")
    await objects.create(IMAGE_PULL, "cancelled", {"image": stage.stuck("stuck")})
    await objects.until("cancelled", _runs)
    await objects.patch(IMAGE_PULL, "cancelled", {"spec": {"cancel": True}})
    await objects.until("cancelled", ended)


async def recreated(objects: Objects, stage: Stage) -> None:
    """Delete an object in the middle of its work, and make another of the same name."""
    image = await stage.image("fresh")
    await stage.image("lost")
    await objects.create(IMAGE_PULL, "recreated", {"image": stage.stuck("lost")})
    await objects.until("recreated", _runs)
    await objects.delete(IMAGE_PULL, "recreated")
    await objects.create(IMAGE_PULL, "recreated", {"image": image})
    await objects.until("recreated", ended)


async def removed(objects: Objects, stage: Stage) -> None:
    """Delete an object that takes its image along."""
    await objects.create(IMAGE_PULL, "removed", {"image": await stage.image("removed"), "deletionPolicy": "Delete"})
    await objects.until("removed", ended)
    await objects.delete(IMAGE_PULL, "removed")
    await objects.until_gone("removed")


async def expiring(objects: Objects, stage: Stage) -> None:
    """Make an object that goes by itself."""
    spec = {"source": stage.base(1), "target": stage.target("expiring"), "ttlSecondsAfterFinished": 0}
    await objects.create(IMAGE_TAG, "expiring", spec)
    await objects.until_gone("expiring")


async def release(objects: Objects, stage: Stage) -> None:
    """Promote an image from one registry to another."""
    step = {"name": "ship", "promote": {"source": await stage.image("release"), "target": stage.target("release")}}
    await objects.create(SESSION, "release", {"steps": [step]})
    await objects.until("release", ended)


async def chain(objects: Objects, stage: Stage) -> None:
    """Pull, tag and push, one after another, on the other Engine."""
    source, target = await stage.image("chain"), stage.target("chain")
    steps: list[Mapping[str, Any]] = [
        {"name": "get", "pull": {"image": source}},
        {"name": "mark", "runAfter": ["get"], "tag": {"source": source, "target": target}},
        {"name": "send", "runAfter": ["mark"], "push": {"image": target}},
    ]
    await objects.create(SESSION, "chain", {"daemonName": GRAPHDRIVER, "steps": steps})
    await objects.until("chain", ended)


async def broken(objects: Objects, stage: Stage) -> None:
    """Have a step fail, and the one behind it skipped."""
    source = stage.source("nowhere")
    steps = [
        {"name": "get", "pull": {"image": source}},
        {"name": "mark", "runAfter": ["get"], "tag": {"source": source, "target": stage.target("broken")}},
    ]
    await objects.create(SESSION, "broken", {"steps": steps})
    await objects.until("broken", ended)


def _runs(body: Body) -> bool:
    return (body.get("status") or {}).get("phase") == "Running"


STORIES: tuple[Story, ...] = (
    absent,
    present,
    second,
    tagged,
    signed,
    denied,
    again,
    flaky,
    cancelled,
    recreated,
    removed,
    expiring,
    release,
    chain,
    broken,
)
