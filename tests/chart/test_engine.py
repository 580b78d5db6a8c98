"""The Engine of mode dind, and how the other modes reach theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imageops.runtime.settings import Settings
from tests.support.chart import DIND_OPTIONS, ISSUED, MODES, VERSIONS, Rendered, Values, merged, render

everywhere = pytest.mark.parametrize("version", VERSIONS)


def engine_config(rendered: Rendered) -> dict[str, Any]:
    """Return the daemon.json of the side-car."""
    config: dict[str, Any] = json.loads(rendered.one("ConfigMap", "imageops-engine")["data"]["daemon.json"])
    return config


def mounts(container: dict[str, Any]) -> dict[str, str]:
    """Return where each volume is mounted."""
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}


def certificate_volume(rendered: Rendered) -> dict[str, Any]:
    """Return the volume with the certificates for daemons behind TCP."""
    [volume] = [volume for volume in rendered.pod["volumes"] if volume["name"] == "certificates"]
    return dict(volume)


@pytest.mark.feature("chart.dind-volume", "chart.modes")
@everywhere
def test_the_engine_starts_first_and_keeps_its_data_on_the_volume(version: str) -> None:
    """As a side-car that ends after the operator, so that a drain still has its Engine."""
    rendered = render(version=version)
    assert rendered.engine["restartPolicy"] == "Always"
    assert mounts(rendered.engine)["data"] == "/var/lib/docker"
    [claim] = rendered.workload["spec"]["volumeClaimTemplates"]
    assert (claim["metadata"]["name"], claim["spec"]["resources"]["requests"]["storage"]) == ("data", "50Gi")
    assert rendered.workload["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    # Else the kubelet would give every file of every image another group.
    assert "fsGroup" not in rendered.pod["securityContext"]


@pytest.mark.feature("chart.dind-volume")
def test_a_claim_says_nothing_that_an_upgrade_changes() -> None:
    """As the template of a claim is immutable: no version, no label that users set."""
    [claim] = render({"commonLabels": {"a": "b"}}).workload["spec"]["volumeClaimTemplates"]
    assert set(claim["metadata"]["labels"]) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}


@pytest.mark.feature("chart.modes", "chart.schema")
@everywhere
def test_the_engine_listens_at_its_socket_only(version: str) -> None:
    """Which is the operator's group's; no port is open, so no 2375 either."""
    rendered = render({"daemon": {"dind": DIND_OPTIONS}}, version=version)
    arguments = rendered.engine["args"]
    assert arguments[0] == "dockerd"  # else the image's entry point adds hosts of its own
    assert [word for word in arguments if word.startswith("--host")] == ["--host=unix:///run/imageops/docker.sock"]
    assert "--group=65532" in arguments
    assert "ports" not in rendered.engine
    assert "hosts" not in engine_config(rendered)
    assert mounts(rendered.engine)["socket"] == mounts(rendered.operator)["socket"] == "/run/imageops"


@everywhere
def test_the_engine_has_the_containerd_store_and_no_network_of_its_own(version: str) -> None:
    """A promoted image keeps its digest there; no container is ever run."""
    assert engine_config(render(version=version)) == {
        "features": {"containerd-snapshotter": True},
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "userland-proxy": False,
    }


@pytest.mark.feature("chart.dind-options")
@everywhere
def test_mirrors_authorities_proxies_and_insecure_registries_reach_the_engine(version: str) -> None:
    """By its daemon.json and a folder of certificates; a change of them restarts it."""
    rendered = render({"daemon": {"dind": DIND_OPTIONS}}, version=version)
    config = engine_config(rendered)
    assert config["registry-mirrors"] == ["https://mirror.example.com"]
    assert config["insecure-registries"] == ["registry.example.com:5000", "10.9.0.0/16"]
    assert config["proxies"] == {
        "http-proxy": "http://proxy.example.com:3128",
        "https-proxy": "http://proxy.example.com:3128",
        "no-proxy": "registry.example.com,10.9.0.0/16",
    }
    assert rendered.engine["env"] == [{"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs:/etc/imageops/ca"}]
    assert mounts(rendered.engine)["engine-ca"] == "/etc/imageops/ca"
    [volume] = [volume for volume in rendered.pod["volumes"] if volume["name"] == "engine-ca"]
    assert volume["configMap"] == {"name": "authorities"}
    [claim] = rendered.workload["spec"]["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["resources"]["requests"]["storage"]) == ("fast", "200Gi")
    checksums = {
        each.workload["spec"]["template"]["metadata"]["annotations"]["checksum/daemon"] for each in (rendered, render())
    }
    assert len(checksums) == 2


def test_without_a_volume_images_take_a_bounded_part_of_the_node() -> None:
    """And the notes of the installation say that they are lost with the pod."""
    rendered = render({"daemon": {"dind": {"persistence": {"enabled": False, "size": "5Gi"}}}})
    [volume] = [volume for volume in rendered.pod["volumes"] if volume["name"] == "data"]
    assert volume["emptyDir"] == {"sizeLimit": "5Gi"}
    assert "volumeClaimTemplates" not in rendered.workload["spec"]


@everywhere
def test_the_nodes_socket_is_mounted_for_its_group(version: str) -> None:
    """And nothing else of the node."""
    rendered = render(MODES["hostPath"], {"daemon": {"hostPath": {"socket": "/run/docker.sock"}}}, version=version)
    assert rendered.pod["securityContext"]["supplementalGroups"] == [998]
    [volume] = [volume for volume in rendered.pod["volumes"] if "hostPath" in volume]
    assert volume == {"name": "socket", "hostPath": {"path": "/run/docker.sock", "type": "Socket"}}
    assert rendered.workload["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.feature("chart.certificates", "chart.defaults")
@everywhere
def test_daemons_behind_tcp_have_certificates_and_one_leader(version: str) -> None:
    """Certificates come as a volume, so that renewed ones arrive in the running pod; pods are spread over nodes."""
    rendered = render(MODES["tcp"], version=version)
    [source] = certificate_volume(rendered)["projected"]["sources"]
    assert source["secret"]["name"] == "builder-client"
    assert [item["path"] for item in source["secret"]["items"]] == [
        "builder/ca.crt",
        "builder/tls.crt",
        "builder/tls.key",
    ]
    assert not any("subPath" in mount for mount in rendered.operator["volumeMounts"])
    assert rendered.pod["securityContext"]["fsGroup"] == 65532
    assert rendered.environment["IMAGEOPS_LEASE_DURATION_SECONDS"] == "15"
    [spread] = rendered.pod["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"


@pytest.mark.feature("chart.certificates")
@pytest.mark.parametrize("values", [*MODES.values(), ISSUED], ids=[*MODES, "issued"])
def test_the_operator_takes_the_settings_that_the_chart_gives_it(values: Values) -> None:
    """Read by the operator's own code: daemons with their certificates, names, limits."""
    rendered = render(
        values, {"logLevel": "DEBUG", "registryRate": 7, "gitopsMarks": ["a.example/b"], "daemon": {"maxTransfers": 3}}
    )
    settings = Settings.from_environment(rendered.environment)
    assert settings.gitops_marks == {"a.example/b"}
    assert (settings.log_level, settings.registry_rate, settings.max_transfers) == ("DEBUG", 7, 3)
    if merged(MODES["dind"], values).get("daemon", {}).get("mode") != "tcp":
        assert settings.daemons == {"default": "unix:///run/imageops/docker.sock"}
        return
    assert settings.default_daemon == "builder"
    sources = certificate_volume(rendered)["projected"]["sources"]
    items = [item["path"] for source in sources for item in source["secret"]["items"]]
    for name in settings.daemons:
        tls = settings.daemon_tls(name)
        assert tls is not None
        mount = mounts(rendered.operator)["certificates"]
        assert {str(path.relative_to(mount)) for path in (tls.ca, tls.certificate, tls.key)} <= set(items)


@pytest.mark.feature("chart.certificates")
@everywhere
def test_cert_manager_issues_the_certificates_of_both_sides(version: str) -> None:
    """The operator's for a client, each daemon's for a server under its names, all by one authority."""
    rendered = render(ISSUED, version=version)
    certificates = {each["metadata"]["name"]: each["spec"] for each in rendered.all("Certificate")}
    assert set(certificates) == {"imageops-ca", "imageops-client", "imageops-daemon-builder", "imageops-daemon-arm"}
    assert certificates["imageops-client"]["usages"] == ["client auth", "digital signature"]
    assert certificates["imageops-daemon-builder"]["dnsNames"] == ["builder.example.com"]
    assert certificates["imageops-daemon-arm"]["ipAddresses"] == ["10.1.2.3"]
    for name in ("imageops-client", "imageops-daemon-builder", "imageops-daemon-arm"):
        assert certificates[name]["issuerRef"] == {"name": "imageops-ca", "kind": "Issuer"}
        assert certificates[name]["secretName"] == name
    # X.509 has room for 64 characters: names of daemons are in the alternative names, which have no limit.
    assert {name for name, spec in certificates.items() if "commonName" in spec} == {"imageops-ca", "imageops-client"}
    secrets = {source["secret"]["name"] for source in certificate_volume(rendered)["projected"]["sources"]}
    assert secrets == {"imageops-client"}


@pytest.mark.feature("chart.certificates")
def test_an_issuer_of_ones_own_signs_instead() -> None:
    """Then the chart makes no authority."""
    issuer = {"name": "corporate", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    rendered = render(ISSUED, {"certManager": {"issuerRef": issuer}})
    assert rendered.all("Issuer") == []
    assert all(each["spec"]["issuerRef"] == issuer for each in rendered.all("Certificate"))


@pytest.mark.feature("ci.tags", "image.hardened")
@everywhere
@pytest.mark.parametrize("mode", MODES)
def test_a_digest_says_exactly_which_image_runs(mode: str, version: str) -> None:
    """It takes precedence over the tag; without one the tag is a version."""
    digest = f"sha256:{64 * '1'}"
    by_digest = render(MODES[mode], {"image": {"tag": "1.2.3", "digest": digest}}, version=version)
    assert by_digest.operator["image"] == f"ghcr.io/imageops/imageops@{digest}"
    assert render(MODES[mode], version=version).operator["image"] == "ghcr.io/imageops/imageops:0.1.0"
    if mode == "dind":
        assert render(version=version).engine["image"] == "docker.io/library/docker:29-dind"
        values = {"daemon": {"dind": {"image": {"digest": digest}}}}
        assert render(values, version=version).engine["image"] == f"docker.io/library/docker@{digest}"
