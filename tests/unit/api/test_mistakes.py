from __future__ import annotations

import pytest

from faults.schema.crd import form, nodes, schema
from imageops.api import fields, mistakes
from imageops.api.kinds import OPERATION_KINDS, SESSION, Kind
from imageops.api.mistakes import Form, Mistake

FORMS = {
    "daemon": mistakes.daemon_name(fields.DNS_LABEL),
    "object": mistakes.object_name(fields.DNS_SUBDOMAIN),
    "step": mistakes.step_name(fields.DNS_LABEL),
    "digest": mistakes.digest(fields.IMAGE_DIGEST),
    "platform": mistakes.platform(fields.PLATFORM),
    "quantity": mistakes.quantity(fields.QUANTITY),
}


@pytest.mark.feature("admission.sentences")
@pytest.mark.parametrize(
    ("form_of", "text", "said"),
    [
        ("daemon", "builder", None),
        ("daemon", "", "is empty"),
        ("daemon", "tcp://10.0.0.1:2375", "is an address"),
        ("daemon", "Builder", "lower case"),
        ("daemon", "my_builder", "write '-'"),
        ("daemon", "-builder", "is no name of a daemon"),
        ("daemon", "{{ daemon }}", "has a blank"),
        ("object", "team.creds", None),
        ("object", "other/creds", "same namespace"),
        ("object", "creds\n", "line end"),
        ("object", "${NAME}", "placeholder"),
        ("step", "ship", None),
        ("step", "ship.it", "has '.'"),
        ("step", "Ship", "upper-case"),
        ("digest", f"sha256:{'a' * 64}", None),
        ("digest", "a" * 64, "write sha256: before"),
        ("digest", f"sha256:{'A' * 64}", "in lower case"),
        ("digest", f"app@sha256:{'a' * 64}", "what follows the '@'"),
        ("digest", "latest", "is no digest"),
        ("platform", "linux/arm/v7", None),
        ("platform", "all", "write All"),
        ("platform", "arm64", "lacks the operating system"),
        ("platform", "linux/amd64,linux/arm64", "an entry is one"),
        ("platform", "Linux/amd64", "upper-case"),
        ("platform", "linux/", "'/' too many"),
        ("platform", "linux/arm/v7/x", "is no platform"),
        ("quantity", "10Gi", None),
        ("quantity", "10GiB", "not 10GiB"),
        ("quantity", "10gi", "wrong case"),
        ("quantity", "-1", "zero or less"),
        ("quantity", "1,5Gi", "comma"),
        ("quantity", "much", "is no size"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(form_of: str, text: str, said: str | None) -> None:
    """The sentence never repeats the text."""
    complaint = FORMS[form_of].complaint(text)
    if said is None:
        assert complaint is None
    else:
        assert complaint is not None
        assert said in complaint
        assert len(text) < 8 or text not in complaint


def test_a_rule_says_the_same_by_cel() -> None:
    """In the order of the mistakes; a form without any has a plain message."""
    plain = Form("^a$", "is no a")
    assert plain.rule().as_wire() == {"rule": 'self.matches("^a$")', "message": "is no a"}
    wanted = Form("^a$", "is no a", (Mistake("^$", "is empty"), Mistake("b", "has b", unless='"')))
    wire = wanted.rule().as_wire()
    chosen = r'self.matches("^$") ? "is empty" : self.matches("b") && !self.matches("\"") ? "has b" : "is no a"'
    assert wire["messageExpression"] == chosen
    schema = {"type": "string", "pattern": "^a$", "minLength": 1, "maxLength": 9}
    wanted.describe(schema)
    assert schema == {"type": "string", "maxLength": 9, "x-kubernetes-validations": [wire]}


@pytest.mark.feature("admission.sentences")
@pytest.mark.parametrize("kind", [*OPERATION_KINDS, SESSION], ids=lambda kind: kind.kind)
def test_no_pattern_is_shown_to_users(kind: Kind) -> None:
    """Every text of a spec with a form of its own has a rule that says what is wrong."""
    shown = [path for path, node in nodes(schema(kind, "spec")) if "pattern" in node]
    assert shown == []
    assert any(form(node) for _, node in nodes(schema(kind, "spec")))
