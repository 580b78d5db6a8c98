from __future__ import annotations

import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.api import references
from imageops.api.errors import OperationError
from imageops.api.fields import REPOSITORY_PATTERN
from imageops.api.reasons import Reason
from imageops.api.references import REFERENCE_FORM, Reference, parse_image_id

A64 = "a" * 64
GENERATED = 100_000

# The grammar of distribution/reference, restated from its BNF as one regular expression over the whole text. What the
# normalisation adds is in the look-aheads: a first part is a host only if it looks like one.
BNF = {
    "letter-or-digit": r"[a-zA-Z0-9]",
    "domain-component": r"(?:{letter-or-digit}|{letter-or-digit}[a-zA-Z0-9-]*{letter-or-digit})",
    "domain-name": r"{domain-component}(?:[.]{domain-component})*",
    "ipv6": r"\[[a-fA-F0-9:]+\]",
    "domain": r"(?:{domain-name}|{ipv6})(?::(?P<port>[0-9]+))?",
    "alpha-numeric": r"[a-z0-9]+",
    "separator": r"(?:_|[.]|__|-+)",
    "path-component": r"{alpha-numeric}(?:{separator}{alpha-numeric})*",
    "path": r"{path-component}(?:/{path-component})*",
    "tag": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}",
    "digest": r"(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})",
    "looks-like-host": r"(?:localhost/|[^/]*[.:A-Z][^/]*/)",
    "name": r"(?:(?={looks-like-host})(?P<domain>{domain})/|(?!{looks-like-host}))(?P<path>{path})",
    "reference": r"{name}(?::(?P<tag>{tag}))?(?:@(?P<digest>{digest}))?",
}


def _expand(symbol: str) -> str:
    return re.sub(r"\{([a-z][a-z0-9-]+)\}", lambda match: _expand(match[1]), BNF[symbol])


ORACLE = re.compile(_expand("reference"))


def expected(text: str) -> tuple[str, str, str | None, str | None] | None:
    """Return host, repository, tag and digest as the grammar and its normalisation say; None = not a reference."""
    match = ORACLE.fullmatch(text)
    if match is None or re.fullmatch("[a-f0-9]{64}", text):
        return None
    if match["port"] is not None and not 1 <= int(match["port"]) <= 65535:
        return None
    domain, path = match["domain"] or "docker.io", match["path"]
    domain = "docker.io" if domain == "index.docker.io" else domain
    path = f"library/{path}" if domain == "docker.io" and "/" not in path else path
    if len(f"{domain}/{path}") > 255:
        return None
    tag = match["tag"] or (None if match["digest"] else "latest")
    return domain, path, tag, match["digest"]


def outcome(text: str) -> tuple[str, str, str | None, str | None] | None:
    """Return what the parser says, None where it refuses with InvalidReference."""
    try:
        reference = Reference.parse(text)
    except OperationError as error:
        return None if error.reason is Reason.INVALID_REFERENCE else (error.reason, "", None, None)
    return reference.host, reference.repository, reference.tag, reference.digest


class Generator:
    """Make texts that are references, nearly references, or neither."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  (the same texts every time)

    def word(self, alphabet: str, *, most: int = 8) -> str:
        """Return 1 to `most` characters."""
        return "".join(self.random.choices(alphabet, k=self.random.randint(1, most)))

    def component(self) -> str:
        """Return a path component."""
        parts = [self.word(string.ascii_lowercase + string.digits) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        return self.random.choice((".", "_", "__", "-", "---")).join(parts)

    def host(self) -> str:
        """Return a host, with a port or without."""
        host = self.random.choice(
            (
                "localhost",
                "docker.io",
                "index.docker.io",
                "[::1]",
                "127.0.0.1",
                "Host",
                f"{self.component()}.example",
                self.word(string.ascii_letters + "-"),
            ),
        )
        return host + self.random.choice(("", "", f":{self.random.randint(0, 99999)}"))

    def digest(self) -> str:
        """Return a digest of a registered algorithm, mostly of its right length."""
        algorithm, length = self.random.choice((("sha256", 64), ("sha384", 96), ("sha512", 128)))
        return f"{algorithm}:" + "".join(
            self.random.choices("0123456789abcdef", k=length + self.random.choice((0, 0, 1)))
        )

    def limits(self) -> str:
        """Return a text at or just past the limits of 255 and 128 characters."""
        host = self.random.choice(("", "a.example/", "localhost:5000/"))
        whole = self.random.randint(253, 257)
        spent = len(host) or len("docker.io/library/")
        tag = self.word("t", most=1) * self.random.randint(126, 130)
        return host + "p" * (whole - spent) + self.random.choice(("", f":{tag}"))

    def text(self) -> str:
        """Return one text; half of them are then damaged in one to three places."""
        if self.random.random() < 0.05:
            text = self.limits()
        else:
            path = "/".join(self.component() for _ in range(self.random.choice((1, 1, 2, 3, 4))))
            host = self.random.choice(("", f"{self.host()}/"))
            tag = self.random.choice(("", "", f":{self.word(string.ascii_letters + string.digits + '._-', most=12)}"))
            text = host + path + tag + self.random.choice(("", "", "", f"@{self.digest()}"))
        if self.random.random() < 0.5:
            return text
        for _ in range(self.random.randint(1, 3)):
            place = self.random.randint(0, len(text))
            cut = self.random.choice((0, 0, 1))
            text = text[:place] + self.random.choice("/:@.-_A[] é\n٣a0%") + text[place + cut :]
        return text


@pytest.mark.feature("ref.grammar")
def test_generated_texts_parse_as_the_grammar_says() -> None:
    """100,000 texts, the limits of 255 and 128 characters among them, agree with the grammar or are refused."""
    generator = Generator(seed=1)
    counted = {True: 0, False: 0}
    for _ in range(GENERATED):
        text = generator.text()
        result = outcome(text)
        assert result == expected(text), text
        counted[result is not None] += 1
    assert min(counted.values()) > GENERATED // 5, "both sorts are well represented"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
@pytest.mark.feature("ref.grammar")
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    """No text whatever raises anything but InvalidReference, and both sides agree on it."""
    assert outcome(text) == expected(text)


@given(st.from_regex(ORACLE, fullmatch=True))
def test_canonical_text_is_a_fixed_point(text: str) -> None:
    """The text of a reference parses to an equal reference."""
    if outcome(text) is not None:
        reference = Reference.parse(text)
        assert Reference.parse(str(reference)) == reference


@pytest.mark.feature("ref.normalise")
@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("ghcr.io/team/app", "ghcr.io/team/app:latest"),
        (f"nginx@sha256:{A64}", f"docker.io/library/nginx@sha256:{A64}"),
        (f"nginx:1@sha256:{A64}", f"docker.io/library/nginx:1@sha256:{A64}"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("team/my__app", "docker.io/team/my__app:latest"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    """A short form becomes host, repository, and an explicit tag or digest."""
    assert str(Reference.parse(text)) == canonical


@pytest.mark.feature("ref.port")
@pytest.mark.parametrize(
    ("text", "host", "repository", "tag"),
    [
        ("localhost:5000/a/b:1", "localhost:5000", "a/b", "1"),
        ("localhost:5000/a/b", "localhost:5000", "a/b", "latest"),
        ("host:5000/a", "host:5000", "a", "latest"),
        ("a.example:443/b:5000", "a.example:443", "b", "5000"),
        ("localhost:5000", "docker.io", "library/localhost", "5000"),
    ],
)
def test_port_is_never_a_tag(text: str, host: str, repository: str, tag: str) -> None:
    """A port belongs to the host wherever a path follows, a tag to the last part."""
    reference = Reference.parse(text)
    assert (reference.host, reference.repository, reference.tag) == (host, repository, tag)


@pytest.mark.feature("ref.digest")
def test_digest_wins() -> None:
    """A reference with tag and digest is selected by the digest; the name has neither."""
    reference = Reference.parse(f"a.example/app:1@sha256:{A64}")
    assert reference.selector == f"sha256:{A64}"
    assert reference.name == "a.example/app"
    assert Reference.parse("a.example/app:1").selector == "1"
    assert Reference.parse("a.example/app").selector == "latest"


@pytest.mark.feature("ref.digest")
@pytest.mark.parametrize(
    ("text", "image_id"),
    [
        (f"sha256:{A64}", f"sha256:{A64}"),
        (A64, None),
        (f"sha256:{A64}a", None),
        (f"sha256:{'A' * 64}", None),
        (f"sha256:{A64}\n", None),
        (f"sha512:{A64}{A64}", None),
        ("nginx", None),
    ],
)
def test_image_id(text: str, image_id: str | None) -> None:
    """Only sha256 and 64 lower-case hexadecimal characters are an image id."""
    assert parse_image_id(text) == image_id


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        (A64, "image id"),
        ("nginx:", "no tag behind"),
        (f"nginx:{'t' * 129}", "a tag is"),
        ("nginx@sha256:abc", "digest"),
        ("nginx@", "digest"),
        ("ghcr.io/Team/app", "lower case"),
        ("my_host.example/app", "host name"),
        ("a:b/c", "port that is no number"),
        (f"a.example/{'p' * 246}", "longer than 255"),
        ("p" * 545, "longer than 544"),
    ],
)
def test_refusal_names_the_fault_and_not_the_text(text: str, fault: str) -> None:
    """The message of a refusal says what is wrong in our own words."""
    with pytest.raises(OperationError) as refusal:
        Reference.parse(text)
    assert refusal.value.reason is Reason.INVALID_REFERENCE
    assert fault in refusal.value.message
    assert len(text) < 5 or text not in refusal.value.message


@pytest.mark.feature("ref.port")
@pytest.mark.parametrize(
    ("port", "good"),
    [
        *((port, True) for port in (1, 80, 9999, 10000, 59999, 60000, 64999, 65499, 65529, 65535)),
        *((port, False) for port in (0, 65536, 65540, 65600, 66000, 70000, 99999, 100000, 555555)),
    ],
)
def test_ports_end_at_65535(port: int, good: bool) -> None:  # noqa: FBT001 - a table
    """At both gates, whatever the host is, and in the patterns of a policy."""
    for host in ("localhost", "127.0.0.1", "[::1]", "ghcr.io"):
        text = f"{host}:{port}/app:1"
        assert (REFERENCE_FORM.complaint(text) is None) is good
        assert (outcome(text) is not None) is good
        assert (re.search(REPOSITORY_PATTERN, f"{host}:{port}/*") is not None) is good
    assert outcome(f"localhost:{port}") is not None, "a tag, as no path follows"


@pytest.mark.parametrize("pattern", [references.REFERENCE_PATTERN, references.SOURCE_PATTERN])
def test_first_gate_lets_every_reference_pass(pattern: str) -> None:
    """The CRD's pattern refuses nothing that the grammar takes, and takes little that the grammar refuses."""
    generator = Generator(seed=2)
    first_gate = re.compile(pattern)
    slipped = 0
    for _ in range(GENERATED // 10):
        text = generator.text()
        passes = first_gate.search(text) is not None and not text.endswith("\n")
        if expected(text) is not None:
            assert passes, text
        slipped += passes and expected(text) is None
    assert slipped < GENERATED // 10 // 20
