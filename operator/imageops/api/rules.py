"""Own the CEL rules that the API server holds for the kinds: what a webhook would check, without a webhook."""

from imageops.api.base import CelRule

SESSION_REF_IMMUTABLE = CelRule(
    rule="has(self.sessionRef) == has(oldSelf.sessionRef)"
    " && (!has(self.sessionRef) || self.sessionRef == oldSelf.sessionRef)",
    message="spec.sessionRef is immutable: it can be neither added, changed nor removed; create the object anew",
    field_path=".sessionRef",
)
INTERVAL_EXCLUDES_TTL = CelRule(
    rule="!(has(self.intervalSeconds) && has(self.ttlSecondsAfterFinished))",
    message="spec.intervalSeconds and spec.ttlSecondsAfterFinished exclude each other:"
    " an object that checks again never finishes",
    field_path=".intervalSeconds",
)
PRECONDITIONS_NEED_REPLACE = CelRule(
    rule="!has(self.preconditions) || (has(self.ifExists) && self.ifExists == 'Replace')",
    message="preconditions need ifExists: Replace, as without it an existing tag is never moved",
    field_path=".preconditions",
)
ONE_PLATFORM = CelRule(
    rule="self.size() <= 1",
    message="takes one entry: one platform, or All for every platform of the index;"
    " for several write an object, or a step, for each",
)
ONE_PRECONDITION = CelRule(
    rule="has(self.imageID) != has(self.digest)",
    message="preconditions need exactly one of imageID and digest",
)
ONE_ACTION = CelRule(
    rule="[has(self.promote), has(self.pull), has(self.tag), has(self.push)].filter(given, given).size() == 1",
    message="a step needs exactly one of promote, pull, tag and push",
)
NOT_AFTER_ITSELF = CelRule(
    rule="!has(self.runAfter) || !(self.name in self.runAfter)",
    message="runAfter must not name the step itself",
    field_path=".runAfter",
)
RUN_AFTER_EXISTS = CelRule(
    rule="!has(self.steps) || self.steps.all(step, !has(step.runAfter)"
    " || step.runAfter.all(name, self.steps.exists(other, other.name == name)))",
    message="spec.steps: every name in runAfter must be the name of a step of this Session",
    field_path=".steps",
)
KIND_OF_SESSION_IMMUTABLE = CelRule(
    rule="has(self.steps) == has(oldSelf.steps)",
    message="spec.steps can be changed but neither added to an open Session nor removed: create the Session anew",
    field_path=".steps",
)
OPEN_ONLY = CelRule(
    rule="!has(self.steps) || !(has(self.closed) || has(self.idleTimeoutSeconds))",
    message="spec.closed and spec.idleTimeoutSeconds belong to an open Session, one without spec.steps",
)
CLOSING_IS_FINAL = CelRule(
    rule="!(has(oldSelf.closed) && oldSelf.closed) || (has(self.closed) && self.closed)",
    message="spec.closed cannot be taken back: create the Session anew",
    field_path=".closed",
)
SESSION_NAME = CelRule(
    rule="self.metadata.name.size() <= 63",
    message="metadata.name of a Session must have at most 63 characters, as it is a label of its operations",
)
LIMITS_SAY_SOMETHING = CelRule(
    rule="has(self.operations) || has(self.transferSize)",
    message="limits need at least one of operations and transferSize",
)
PRIVATE_ONLY_WHERE_ALLOWED = CelRule(
    rule="!has(self.privateAddresses) || self.action == 'Allow'",
    message="privateAddresses belongs to a rule with action: Allow",
    field_path=".privateAddresses",
)
VALUES_FIT_OPERATOR = CelRule(
    rule="(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    message="values must be given with the operators In and NotIn, and only with those",
    field_path=".values",
)
