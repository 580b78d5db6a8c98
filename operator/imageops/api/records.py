"""Own the records of what happened on a daemon: who proved access to an image, and who owns a tag.

Only the operator writes them. They are cluster-scoped, hold no credential, and are removed with their image or tag.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from imageops.api import rules
from imageops.api.base import CelRule, SpecModel, StatusModel, Time
from imageops.api.fields import ATOMIC, Digest, EngineId, ObjectUid, OmitEmpty, ReferenceEcho, ShortText
from imageops.api.references import TEXT_MAX_LENGTH

PROOFS_MAX_LENGTH = 500
"""Proofs one record keeps; the oldest give way."""

NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
StoredReference = Annotated[str, Field(min_length=1, max_length=TEXT_MAX_LENGTH, pattern="^[!-~]+$")]
StoredImageId = Annotated[str, Field(min_length=1, max_length=200, pattern="^[a-z0-9+._-]+:[a-f0-9]{32,128}$")]
CredentialHash = Annotated[str, Field(max_length=64, pattern="^(anonymous|[a-f0-9]{64})$")]


class ImageRecordSpec(SpecModel):
    """Name one image on one Docker Engine; immutable."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.RECORD_IMMUTABLE,)

    engine_id: Annotated[EngineId, Field(alias="engineID")]
    """Id of the Docker Engine."""

    image_id: Annotated[StoredImageId, Field(alias="imageID")]
    """Id of the image on it."""


class AccessProof(StatusModel):
    """Record that a namespace proved access to the image against its registry."""

    namespace_uid: Annotated[ObjectUid, Field(alias="namespaceUID")]
    """Uid of the namespace, so that a namespace made anew under the name proves again."""

    namespace: NamespaceName
    """Its name, for people."""

    credential: CredentialHash
    """Salted HMAC of the credential that proved it, 64 hexadecimal characters, or anonymous."""

    repository: ReferenceEcho
    """host/repository that was asked."""

    method: ShortText
    """How it was proved, such as Pull or Distribution."""

    proof_time: Time
    """When it was proved last."""


class ImageRecordStatus(StatusModel):
    """Hold the proofs of access to the image."""

    proofs: Annotated[
        tuple[AccessProof, ...],
        Field(max_length=PROOFS_MAX_LENGTH, json_schema_extra=ATOMIC),
        OmitEmpty,
    ] = ()
    """Namespaces that proved access, at most 500."""


class ImageTagRecordSpec(SpecModel):
    """Claim one tag on one Docker Engine for a namespace; immutable, so the first to create it owns the tag."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.RECORD_IMMUTABLE,)

    engine_id: Annotated[EngineId, Field(alias="engineID")]
    """Id of the Docker Engine."""

    reference: StoredReference
    """The tag as a normalised reference."""

    namespace_uid: Annotated[ObjectUid, Field(alias="namespaceUID")]
    """Uid of the namespace that owns the tag."""

    namespace: NamespaceName
    """Its name, for people."""


class ImageTagRecordStatus(StatusModel):
    """State what the tag was last set to."""

    image_id: Annotated[Digest | None, Field(alias="imageID")] = None
    """Id of the image that the operator last gave the tag. Absent: not yet set."""

    update_time: Time | None = None
    """When that was."""
