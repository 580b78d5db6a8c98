"""Pull an image, tag it and push it as objects of the cluster, and remove them again: what `helm test` runs.

Ends with 0 if each object became Ready, with 1 and the object's own words if one did not.
"""

import asyncio
import os
import sys

from imageops.cluster.api_server import ApiServer

GROUP = "imageops.dev/v1alpha1"
SECONDS = 300
NAMESPACE = os.environ["TEST_NAMESPACE"]
NAME = os.environ["TEST_NAME"]


def path(plural: str, name: str = "") -> str:
    """Return the path of a collection, or of one object."""
    return f"/apis/{GROUP}/namespaces/{NAMESPACE}/{plural}/{name}".rstrip("/")


async def perform(api: ApiServer, kind: str, plural: str, spec: dict[str, str]) -> None:
    """Create an object, wait until it is Ready, and delete it.

    Raises:
        RuntimeError: It failed, or did not end within five minutes.
    """
    body = {"apiVersion": GROUP, "kind": kind, "metadata": {"name": NAME}, "spec": spec}
    created = await api.create(path(plural), body)
    status: dict[str, object] = {}
    try:
        async with asyncio.timeout(SECONDS):
            while status.get("phase") not in {"Succeeded", "Failed", "Cancelled"}:
                await asyncio.sleep(1)
                status = (await api.get(path(plural, NAME))).get("status") or {}
    except TimeoutError:
        status["error"] = status.get("error") or f"still {status.get('phase')}"
    finally:
        await api.delete(path(plural, NAME), uid=created["metadata"]["uid"])
    if status.get("phase") != "Succeeded":
        message = f"{kind} {spec}: {status.get('error')}"
        raise RuntimeError(message)
    sys.stdout.write(f"{kind} {spec}: Succeeded\n")


async def main() -> int:
    """Perform what the environment asks for."""
    image, target = os.environ["TEST_IMAGE"], os.environ.get("TEST_PUSH_TO", "")
    tag = target or f"imageops.local/{NAMESPACE}/{NAME}:test"
    api = await ApiServer.connect(os.environ.get("KUBECONFIG"))
    try:
        await perform(api, "ImagePull", "imagepulls", {"image": image})
        await perform(api, "ImageTag", "imagetags", {"source": image, "target": tag, "ifExists": "Replace"})
        if target:
            await perform(api, "ImagePush", "imagepushes", {"image": target, "ifExists": "Replace"})
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        await api.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
