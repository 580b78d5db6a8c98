from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine import responses
from imageops.engine.protocol import DaemonInfo, ImageStore, LocalImage, LocalManifest, RemoteImage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *("Id", "RepoDigests", "Size", "Os", "Architecture", "Variant", "Descriptor", "Manifests", "Platforms"),
    *("ApiVersion", "ID", "DriverStatus", "Version", "Arch"),
]


@pytest.mark.parametrize(
    ("status", "store"),
    [
        ([["driver-type", "io.containerd.snapshotter.v1"]], ImageStore.CONTAINERD),
        ([["Backing Filesystem", "extfs"], ["Supports d_type", "true"]], ImageStore.GRAPHDRIVER),
        (None, ImageStore.GRAPHDRIVER),
    ],
)
def test_a_daemon_shows_its_image_store(status: object, store: ImageStore) -> None:
    """The store is known by the driver's type, whatever the driver is called."""
    version = {"Version": "29.0", "ApiVersion": "1.52", "Os": "linux", "Arch": "amd64"}
    info = responses.daemon_info("builder", version, {"ID": "abc", "DriverStatus": status, "Driver": "overlayfs"})
    assert info == DaemonInfo("builder", "29.0", "1.52", store, "linux", "amd64", "abc")


@pytest.mark.parametrize(
    ("have", "wanted", "serves"), [("1.41", (1, 46), False), ("1.9", (1, 10), False), ("2.0", (1, 46), True)]
)
def test_versions_are_compared_by_their_numbers(have: str, wanted: tuple[int, int], *, serves: bool) -> None:
    """1.9 is before 1.10."""
    info = DaemonInfo("x", "", have, ImageStore.CONTAINERD, "linux", "amd64", "x")
    assert responses.serves(info, *wanted) is serves


def test_an_image_of_the_containerd_store() -> None:
    """Descriptor, platform and digests are taken over."""
    digest = "sha256:" + "1" * 64
    answer: dict[str, Any] = {
        "Id": digest,
        "RepoDigests": ["a@" + digest],
        "Size": 12,
        "Os": "linux",
        "Architecture": "arm64",
        "Variant": "v8",
        "Descriptor": {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": 1},
    }
    assert responses.local_image(answer) == LocalImage(
        digest, ("a@" + digest,), 12, "linux/arm64/v8", digest, "application/vnd.oci.image.index.v1+json"
    )


def test_what_an_image_does_not_say_is_absent() -> None:
    """A graphdriver gives no descriptor, and an image whose content is elsewhere no architecture."""
    answer: dict[str, Any] = {
        "Id": digest_of(1),
        "RepoDigests": None,
        "Os": "linux",
        "Architecture": "",
    }
    assert responses.local_image(answer) == LocalImage(digest_of(1), (), 0, None, None, None)


def test_children_of_an_index() -> None:
    """Images and attestations are told apart, and whether their content is here."""
    answer: dict[str, Any] = {
        "Manifests": [
            {
                "Descriptor": {"digest": digest_of(1), "platform": {"os": "linux", "architecture": "amd64"}},
                "Available": True,
                "Kind": "image",
                "Size": {"Content": 5, "Total": 9},
                "ImageData": {"Platform": {"os": "linux", "architecture": "amd64"}},
            },
            {
                "Descriptor": {"digest": digest_of(2), "platform": {"os": "unknown", "architecture": "unknown"}},
                "Available": False,
                "Kind": "attestation",
            },
            {"Descriptor": {"digest": digest_of(3)}, "Kind": "something new"},
            "odd",
        ]
    }
    assert responses.local_manifests(answer) == (
        LocalManifest(digest_of(1), "image", "linux/amd64", available=True),
        LocalManifest(digest_of(2), "attestation", None, available=False),
        LocalManifest(digest_of(3), "unknown", None, available=False),
    )


def test_what_a_registry_has() -> None:
    """Digest, media type, the platforms that are ones, and how many entries there are."""
    answer: dict[str, Any] = {
        "Descriptor": {"mediaType": "m", "digest": digest_of(1), "size": 3},
        "Platforms": [{"os": "linux", "architecture": "arm", "variant": "v7"}, {"os": "unknown"}, 3],
    }
    assert responses.remote_image(answer) == RemoteImage(digest_of(1), "m", ("linux/arm/v7",), 2)


def digest_of(number: int) -> str:
    """Make a digest."""
    return f"sha256:{number:064x}"


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_answers_of_any_shape_are_values_or_daemon_errors(answer: dict[str, object]) -> None:
    """No field of an unexpected type makes an unexpected exception."""
    responses.local_manifests(answer)
    for read in (responses.local_image, responses.remote_image, lambda it: responses.daemon_info("x", it, it)):
        try:
            read(answer)
        except OperationError as error:
            assert error.reason is Reason.DAEMON_ERROR  # noqa: PT017 - a value is fine as well


@pytest.mark.feature("fault.lies")
@pytest.mark.parametrize(
    "lie",
    [
        {"Size": 2**63},
        {"Size": 10**30},
        {"Architecture": "a" * 2000},
        {"Architecture": "amd64\nroot"},
        {"Os": "linux", "Architecture": "a" * 60},
        {"Os": "\ud800"},
        {"RepoDigests": ["\x00", "x" * 2000]},
        {"Descriptor": {"digest": "d" * 2000, "mediaType": "m\r"}},
    ],
    ids=["over 64 bits", "far over", "long", "two lines", "no platform", "no character", "digests", "descriptor"],
)
def test_what_is_beyond_all_reason_is_not_said(lie: dict[str, Any]) -> None:
    """A status with one number or text of it would be refused as a whole, and the object would never end."""
    image = responses.local_image({"Id": digest_of(1), **lie})
    assert image == responses.local_image({"Id": digest_of(1)})


@pytest.mark.parametrize("identity", ["", "x" * 2000, "\ud800\n", 7, "latest", "sha256:12"])
def test_an_image_without_a_usable_id_is_no_answer(identity: object) -> None:
    """DaemonError."""
    with pytest.raises(OperationError) as caught:
        responses.local_image({"Id": identity})
    assert caught.value.reason is Reason.DAEMON_ERROR


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("linux", "arm64", "v8"), "linux/arm64/v8"),
        (("linux", "amd64", ""), "linux/amd64"),
        (("linux", "", ""), None),
        (("", "amd64", ""), None),
        (("unknown", "unknown", ""), None),
    ],
)
def test_a_platform_is_whole_or_absent(parts: tuple[str, str, str], expected: str | None) -> None:
    """What the daemon does not know, or calls unknown as in an attestation, is no platform."""
    os, architecture, variant = parts
    answer = {"Id": digest_of(1), "Os": os, "Architecture": architecture, "Variant": variant}
    assert responses.local_image(answer).platform == expected
