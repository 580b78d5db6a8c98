from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.access.keyring import HUB, Scope

LABELS = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True)
HOSTS = st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9]{1,5}){0,3}(:[0-9]{2,4})?", fullmatch=True)
GLOBS = st.from_regex(r"[ab*]{1,4}(\.[ab*]{1,4}){0,2}(:[12])?", fullmatch=True)
SHORT = st.from_regex(r"[ab]{1,4}(\.[ab]{1,4}){0,2}(:[12])?", fullmatch=True)
PATHS = st.from_regex(r"(/[ab]{1,2}){0,3}", fullmatch=True)


def covers(server: str, image: str) -> bool:
    """Tell whether an entry is for an image, written host/repository."""
    host, _, repository = image.partition("/")
    scope, whole = Scope.of(server), Scope.of_image(host, repository)
    return scope is not None and whole is not None and scope.covers(whole)


MATCHES = [
    # What Kubernetes documents of the host.
    ("k8s.io", "k8s.io/app"),
    ("*.k8s.io", "registry.k8s.io/app"),
    ("*.*.k8s.io", "a.b.k8s.io/app"),
    ("sub.*.io", "sub.k8s.io/app"),
    ("k8s.*", "k8s.io/app"),
    ("app*.k8s.io", "app1.k8s.io/app"),
    ("app*.k8s.io", "app.k8s.io/app"),
    ("*-dev.k8s.io", "eu-dev.k8s.io/app"),
    ("a*b*c.k8s.io", "a1b2c.k8s.io/app"),
    ("a*a.io", "aa.io/app"),
    ("*.dkr.ecr.*.amazonaws.com", "123.dkr.ecr.eu-west-1.amazonaws.com/app"),
    ("*.*", "k8s.io/app"),
    ("*.io", "docker.io/library/nginx"),
    ("*", "localhost/app"),
    # The port belongs to the host.
    ("registry.example:5000", "registry.example:5000/app"),
    ("*.example:5000", "registry.example:5000/app"),
    ("localhost:5000", "localhost:5000/app"),
    ("registry.example:", "registry.example/app"),
    # The path is a beginning of the repository.
    ("registry.example/team", "registry.example/team/app"),
    ("registry.example/team", "registry.example/team"),
    ("registry.example/team/app", "registry.example/team/app"),
    ("registry.example/team/", "registry.example/team/app"),
    ("registry.example/te", "registry.example/team/app"),
    ("registry.example:5000/a/b", "registry.example:5000/a/b/c/d"),
    ("*.example/team", "registry.example/team/app"),
    ("https://registry.example/team", "registry.example/team/app"),
    ("https://registry.example/v2/team", "registry.example/team/app"),
    ("docker.io/team", "docker.io/team/app"),
    ("https://index.docker.io/v1/team", "docker.io/team/app"),
    # What counts for nothing: scheme, version of the API, slash, case, account, query.
    ("https://registry.example", "registry.example/app"),
    ("http://registry.example", "registry.example/app"),
    ("HTTPS://Registry.Example", "registry.example/app"),
    ("registry.example/", "registry.example/app"),
    ("https://registry.example/v1/", "registry.example/app"),
    ("https://registry.example/v2/", "registry.example/app"),
    ("registry.example/v2", "registry.example/app"),
    ("registry.example", "registry.example/v2/app"),
    ("registry.example/v1/v2", "registry.example/v2/app"),
    ("REGISTRY.EXAMPLE", "registry.example/app"),
    ("registry.example", "Registry.Example/app"),
    ("https://robot@registry.example", "registry.example/app"),
    ("https://registry.example/?service=x", "registry.example/app"),
    ("registry.example#x", "registry.example/app"),
    ("  registry.example\n", "registry.example/app"),
    ("[::1]:5000", "[::1]:5000/app"),
    ("https://[FE80::1]", "[fe80::1]/app"),
]
MISSES = [
    # Another host, however alike.
    ("a.example", "evil-a.example/app"),
    ("a.example", "a.example.evil.example/app"),
    ("a.example", "sub.a.example/app"),
    ("a.example", "example/app"),
    ("a.example", "aaexample/app"),
    ("a.example", "a.exampl/app"),
    ("a.example", "b.example/app"),
    # Another port, or one at all.
    ("a.example", "a.example:5000/app"),
    ("a.example:5000", "a.example/app"),
    ("a.example:5000", "a.example:50000/app"),
    ("a.example:443", "a.example/app"),
    ("a.example:*", "a.example:5000/app"),
    # A `*` is within one label.
    ("*.k8s.io", "k8s.io/app"),
    ("*.k8s.io", "a.b.k8s.io/app"),
    ("*.io", "registry.k8s.io/app"),
    ("k8s.*", "k8s.io.evil/app"),
    ("*", "k8s.io/app"),
    ("*.*", "localhost/app"),
    ("*k8s.io", "evil.k8s.io/app"),
    ("app*.k8s.io", "xapp.k8s.io/app"),
    ("a*a.io", "a.io/app"),
    ("ab*bc.io", "abc.io/app"),
    ("a*b*c.io", "acb.io/app"),
    ("*.example", "registry.example:5000/app"),
    ("*.docker.io", "docker.io/library/nginx"),
    # Nothing else is a wildcard.
    ("a?.example", "ab.example/app"),
    ("[ab].example", "a.example/app"),
    ("a.exampl[e]", "a.example/app"),
    ("a\\.example", "a.example/app"),
    ("[:*]:5000", "[::1]:5000/app"),
    # Another path.
    ("registry.example/team", "registry.example/other/app"),
    ("registry.example/team", "registry.example/tea"),
    ("registry.example/team", "registry.example/x/team/app"),
    ("registry.example/team/", "registry.example/team"),
    ("registry.example/*", "registry.example/team/app"),
    ("registry.example/Team", "registry.example/team/app"),
    (f"registry.example/{'a' * 1024}", "registry.example/app"),
    ("registry.example/v1/team", "registry.example/v1/app"),
    ("registry.example/v3/", "registry.example/app"),
    ("registry.example/v2x", "registry.example/app"),
    ("https://index.docker.io/v1/team", "docker.io/other/app"),
    # Another name of a host, which only a resolver could tell.
    ("registry.example.", "registry.example/app"),
    ("127.0.0.1:5000", "localhost:5000/app"),
    ("[::1]:5000", "[::2]:5000/app"),
    # No name of a host.
    ("", "registry.example/app"),
    ("https://", "registry.example/app"),
    ("/registry.example", "registry.example/app"),
    ("http://[", "registry.example/app"),
    ("registry.example:5000:5000", "registry.example:5000/app"),
    ("registry .example", "registry.example/app"),
    ("regis\ntry.example", "registry.example/app"),
    ("registry\x1b[31m.example", "registry.example/app"),
    ("registry.e\u212aample", "registry.ekample/app"),
    ("evil@x@registry.example", "registry.example/app"),
    ("registry.example,evil.example", "registry.example/app"),
    ("evil.example/https://registry.example", "registry.example/app"),
]


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize(("server", "image"), MATCHES)
def test_an_entry_is_for_what_the_kubelet_takes_it_for(server: str, image: str) -> None:
    """Host with port, `*` for a part of one label, the beginning of a path."""
    assert covers(server, image)


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.exact-host")
@pytest.mark.parametrize(("server", "image"), MISSES)
def test_an_entry_is_for_nothing_else(server: str, image: str) -> None:
    """Above all for no other host."""
    assert not covers(server, image)


@pytest.mark.feature("cred.exact-host")
@given(named=HOSTS, asked=HOSTS)
def test_two_hosts_that_differ_share_no_credential(named: str, asked: str) -> None:
    """Whatever they are."""
    assert covers(named, f"{asked}/app") == (named == asked)


@pytest.mark.feature("cred.exact-host")
@given(server=st.text(alphabet=string.printable, max_size=24), asked=HOSTS)
def test_a_host_that_an_entry_does_not_spell_gets_nothing(server: str, asked: str) -> None:
    """Whatever text stands in the Secret, without a `*` it is for no host that is not in it."""
    if covers(server, f"{asked}/app"):
        assert "*" in server or asked in server.lower() or asked == HUB


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.exact-host")
@given(glob=GLOBS, path=PATHS, asked=SHORT, repository=PATHS.filter(bool))
def test_a_pattern_covers_what_its_expansion_says(glob: str, path: str, asked: str, repository: str) -> None:
    """Each `*` is any letters but the dot, and nothing else may differ; the path is a beginning."""
    pattern = re.escape(glob).replace(r"\*", "[^.:]*")
    expected = re.fullmatch(pattern, asked) is not None and repository.startswith(path)
    assert covers(f"{glob}{path}", f"{asked}{repository}") == expected


@pytest.mark.feature("cred.kubelet")
def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """Each letter of a label is looked at a few times at most: a Secret cannot keep the process busy."""
    label = "a" * 250
    assert not covers(f"{'*a' * 120}b", f"{label}/app")
    assert covers("*a" * 120, f"{label}/app")


@pytest.mark.feature("cred.kubelet")
def test_of_several_entries_for_an_image_the_greatest_rank_is_the_most_to_the_point() -> None:
    """As in the kubelet: a longer path before a shorter one, a host that is spelled out before a `*`."""
    servers = ["*.example", "a.example/team/app", "a.example", "https://a.example/v2/team", "*.example/team"]
    scopes = {server: Scope.of(server) for server in servers}
    ordered = sorted(scopes, key=lambda server: scope.rank if (scope := scopes[server]) else "", reverse=True)
    assert ordered == ["a.example/team/app", "https://a.example/v2/team", "a.example", "*.example/team", "*.example"]
