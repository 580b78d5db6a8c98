"""Own the spec of ImageOperationPolicy: what the administrator lets namespaces do."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from imageops.api import rules
from imageops.api.base import CelRule, SpecModel
from imageops.api.fields import ATOMIC, OmitEmpty, Quantity, RepositoryPattern

DEFAULT_PRIORITY = 1000
MAX_RULES = 128

LabelKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$")]


class RuleAction(StrEnum):
    """Say what a matching rule does."""

    ALLOW = "Allow"
    DENY = "Deny"


class PrivateAddresses(StrEnum):
    """Say whether a registry host may have a loopback, link-local or private address."""

    DENY = "Deny"
    ALLOW = "Allow"


class SelectorOperator(StrEnum):
    """Relate a label to the values of a requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelRequirement(SpecModel):
    """Demand something of one label."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.VALUES_FIT_OPERATOR,)

    key: LabelKey
    """Key of the label."""

    operator: SelectorOperator
    """In and NotIn compare with values; Exists and DoesNotExist take none."""

    values: Annotated[tuple[LabelValue, ...], Field(max_length=64, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """Values to compare with, at most 64. Absent: only with Exists and DoesNotExist."""


class NamespaceSelector(SpecModel):
    """Pick namespaces by their labels; all demands must hold, and an empty selector picks every namespace."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=32), OmitEmpty] = Field(default_factory=dict)
    """Labels that the namespace must have with these values, at most 32. kubernetes.io/metadata.name is its name."""

    match_expressions: Annotated[
        tuple[LabelRequirement, ...],
        Field(max_length=32, json_schema_extra=ATOMIC),
        OmitEmpty,
    ] = ()
    """Further demands, at most 32."""


class PolicyRule(SpecModel):
    """Allow or deny references by pattern."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.PRIVATE_ONLY_WHERE_ALLOWED,)

    action: RuleAction
    """Allow or Deny."""

    repositories: Annotated[
        tuple[RepositoryPattern, ...],
        Field(min_length=1, max_length=64, json_schema_extra=ATOMIC),
    ]
    """Patterns of host[:port]/repository after normalisation, 1 to 64: `*` is everything, a last part `/*` is the rest
    of the path, a host `*` is any host and `*.example.com` any host below it. A host with a port must name the port."""

    private_addresses: PrivateAddresses | None = None
    """Allow lets the registries of this rule have private addresses. Only with action: Allow. Absent: what the policy
    says."""


class NamespaceLimits(SpecModel):
    """Bound the work of one namespace."""

    concurrent_operations: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Operations of a namespace that may run at the same time, 1 to 1000; more wait as Throttled. Absent: any."""

    operations_per_minute: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Operations of a namespace that may start in a minute, 1 to 10000; more wait as Throttled. Absent: any."""


class ImageOperationPolicySpec(SpecModel):
    """State what the namespaces it selects may do.

    All policies that select a namespace apply, in the order of priority and then name. For each direction the first
    rule that matches decides; where rules exist for the direction and none matches, the operation is denied. Each
    limit is taken from the first policy that states it. This version of the operator enforces none of it: a policy is
    stored, and restricts nothing.
    """

    priority: Annotated[int, Field(ge=0, le=1_000_000)] = DEFAULT_PRIORITY
    """Order among policies, 0 to 1000000: lower numbers are looked at first, then names. Default: 1000."""

    namespace_selector: NamespaceSelector = Field(default_factory=NamespaceSelector)
    """Namespaces the policy applies to. Absent: every namespace."""

    pull: Annotated[tuple[PolicyRule, ...], Field(max_length=MAX_RULES, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """Rules for pulling, at most 128, in order. Absent: this policy says nothing about pulling."""

    push: Annotated[tuple[PolicyRule, ...], Field(max_length=MAX_RULES, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """Rules for pushing, at most 128, in order. Absent: this policy says nothing about pushing."""

    private_addresses: PrivateAddresses = PrivateAddresses.DENY
    """Deny refuses registries with loopback, link-local or private addresses, as without any policy; Allow permits
    them. A rule can permit its own registries. Default: Deny."""

    require_digest: bool = False
    """Refuse a pull by tag; only a reference with a digest passes. Default: false."""

    max_image_size: Quantity | None = None
    """Largest image that may be pulled, such as 10Gi; a pull that grows past it is stopped. Absent: any size."""

    limits: NamespaceLimits | None = None
    """What each selected namespace may do at the same time and in a minute. Absent: no limits."""

    shared_tags: Annotated[
        tuple[RepositoryPattern, ...],
        Field(max_length=64, json_schema_extra=ATOMIC),
        OmitEmpty,
    ] = ()
    """Patterns of host[:port]/repository whose tags on the daemon every selected namespace may move, at most 64.
    Absent: a tag belongs to the namespace that made it."""
