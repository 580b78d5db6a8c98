from __future__ import annotations

import docker
import pytest

from imageops.engine.connection import DaemonAddress, DaemonClient
from imageops.engine.endpoints import ENDPOINTS, EndpointRefusedError, check

HOST = "http+docker://localhost"
ALLOWED = [
    ("GET", "/_ping"),
    ("GET", "/version"),
    ("GET", "/info"),
    ("GET", "/v1.41/images/nginx/json"),
    ("GET", "/v1.52/images/127.0.0.1:5000/team/app:1/json?platform=%7B%7D"),
    ("GET", "/v1.52/images/sha256:00ff/json?manifests=1"),
    ("GET", "/v1.41/images/a/b@sha256:00ff/json"),
    ("GET", "/v1.41/distribution/docker.io/library/nginx:1/json"),
    ("GET", "/v1.41/distribution/%5B::1%5D:5000/a:1/json"),
    ("POST", "/v1.41/images/create?fromImage=a&tag=1&platform=linux%2Farm64"),
    ("POST", "/v1.41/images/127.0.0.1:5000/team/app/push?tag=1"),
    ("POST", "/v1.41/images/a/tag?repo=b&tag=1"),
    ("DELETE", "/v1.41/images/a:1"),
]
REFUSED = [
    ("GET", "/v1.41/containers/json"),
    ("POST", "/v1.41/containers/create"),
    ("POST", "/v1.41/containers/x/exec"),
    ("POST", "/v1.41/build"),
    ("GET", "/v1.41/volumes"),
    ("POST", "/v1.41/swarm/init"),
    ("GET", "/v1.41/plugins"),
    ("GET", "/v1.41/events"),
    ("GET", "/v1.41/images/json"),
    ("GET", "/v1.41/images/search?term=a"),
    ("POST", "/v1.41/images/load"),
    ("POST", "/v1.41/images/prune"),
    ("GET", "/v1.41/images/get?names=a"),
    ("GET", "/v1.41/images/a/get?platform=x"),
    ("PUT", "/v1.41/images/a/json"),
    ("POST", "/v1.41/images/create?fromSrc=http://10.0.0.1/x.tar"),
    ("POST", "/v1.41/images/create?fromImage=a&message=x"),
    ("DELETE", "/v1.41/images/a:1?force=1"),
    ("GET", "/images/a/json"),
    ("GET", "/v1.41/_ping"),
    ("POST", "/_ping"),
    ("GET", "/v1.41/images/../containers/x/json"),
    ("GET", "/v1.41/images/%2e%2e/containers/x/json"),
    ("GET", "/v1.41/images/a/%2e%2e/%2E%2E/containers/x/json"),
    ("GET", "/v1.41/images/./json"),
    ("GET", "/v1.41/images//json"),
    ("GET", "/v1.41/images/a%252fb/json"),
    ("GET", "/v1.41/images/a%0d%0aX: y/json"),
    ("GET", "/v1.41/images/json/"),
    ("DELETE", "/v1.41/images/"),
]


@pytest.mark.feature("engine.endpoints")
def test_the_list_is_short() -> None:
    """At most 12 kinds of request are ever made."""
    assert len(ENDPOINTS) <= 12
    assert len(set(ENDPOINTS)) == len(ENDPOINTS)


@pytest.mark.feature("engine.endpoints")
@pytest.mark.parametrize(("method", "target"), ALLOWED)
def test_what_the_operator_needs_passes(method: str, target: str) -> None:
    """Each use of an endpoint passes the gate."""
    check(method, HOST + target)


@pytest.mark.feature("engine.endpoints")
@pytest.mark.parametrize(("method", "target"), REFUSED)
def test_everything_else_is_refused(method: str, target: str) -> None:
    """Other paths, methods and parameters, and every trick to leave a path, are refused."""
    with pytest.raises(EndpointRefusedError):
        check(method, HOST + target)


@pytest.mark.feature("engine.endpoints")
@pytest.mark.parametrize(("method", "target"), REFUSED)
def test_a_client_refuses_before_any_input_or_output(method: str, target: str) -> None:
    """The gate stands in the client itself: there is no daemon here, and no attempt to reach one."""
    client = DaemonClient(DaemonAddress("unix:///nowhere/docker.sock", None), opened=lambda: pytest.fail("connected"))
    with pytest.raises(EndpointRefusedError):
        client.request(method, f"{client.base_url}{target}")
    client.close()


@pytest.mark.feature("engine.endpoints")
def test_docker_py_itself_cannot_pass_the_gate() -> None:
    """What docker-py offers beyond the list is refused as well, although the client inherits it."""
    client: docker.APIClient = DaemonClient(DaemonAddress("unix:///nowhere/docker.sock", None), opened=lambda: None)
    with pytest.raises(EndpointRefusedError):
        client.containers()
    with pytest.raises(EndpointRefusedError):
        client.remove_image("a:1", force=True)
    client.close()
