"""Describe the processes that make a node: control plane, containerd, kubelet, kube-proxy and two registries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from devcluster import kubernetes, parts, registries
from devcluster.certificates import Pki
from devcluster.layout import Layout
from devcluster.parts import Part
from devcluster.ports import ADDRESS as LOOPBACK
from devcluster.ports import free_ports
from devcluster.probes import Probe
from devcluster.services import Service
from e2e.isolation import ADDRESS, BRIDGE, PODS

NAME = "node"
SCHEDULER, CONTAINERD, KUBELET, PROXY = "scheduler", "containerd", "kubelet", "kube-proxy"
KUBERNETES_SERVICE = "10.96.0.1"
"""The first address of the range that kube-apiserver is given for Services."""
# The system's containerd and runc, which know seccomp profiles; a runc that is built without libseccomp does not.
PROGRAMS = (
    *(parts.ETCD, parts.KUBE_APISERVER, parts.KUBE_CONTROLLER_MANAGER, parts.KUBE_SCHEDULER, parts.KUBELET),
    *(parts.KUBE_PROXY, parts.CONTAINERD_1, parts.CONTAINERD_SHIM_1, parts.RUNC_1, parts.CTR, *parts.CNI),
    parts.REGISTRY,
)

_KUBELET_PORT, _PROXY_PORT, _SCHEDULER_PORT = 10248, 10256, 10259
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Node:
    """Hold what a node is made of: its folders, and where each program is."""

    layout: Layout
    program: Callable[[Part], Path]
    cgroup: str
    pause: str
    """The image of which each pod has a container that holds its network."""

    @property
    def containerd_socket(self) -> Path:
        """Locate containerd's socket."""
        return self.layout.run / "containerd.sock"

    @property
    def admin(self) -> Path:
        """Locate the kubeconfig that every part of the node uses."""
        return kubernetes.kubeconfig(self.layout, kubernetes.ADMIN)

    def runtime(self) -> Service:
        """Describe containerd, which has to have the images before kubelet starts."""
        home = self._folder("containerd")
        tools, network = self._folder("bin"), self._folder("cni")
        for part in (parts.CONTAINERD_1, parts.CONTAINERD_SHIM_1, parts.RUNC_1, *parts.CNI):
            (tools / part.program).symlink_to(self.program(part))
        (network / "node.conflist").write_text(json.dumps(_network(self.layout.run)), encoding="utf-8")
        config = home / "config.toml"
        config.write_text(self._containerd_config(home, tools, network), encoding="utf-8")
        return Service(
            name=CONTAINERD,
            argv=(f"{tools}/containerd", "--config", str(config)),
            environ={"PATH": f"{tools}:{_SYSTEM_PATH}", "TMPDIR": "/tmp"},  # noqa: S108 - as dockerd's in devcluster
            probe=Probe(socket=str(self.containerd_socket)),
            log=self._log(CONTAINERD),
            address=f"unix://{self.containerd_socket}",
        )

    def control_plane(self) -> list[Service]:
        """Describe the development cluster's control plane with all controllers, known to pods, and a scheduler."""
        described = kubernetes.kubernetes_services(self.layout, self.program, also=(ADDRESS, KUBERNETES_SERVICE))
        etcd, apiserver, manager = described
        more = (
            *("--bind-address=0.0.0.0", f"--advertise-address={ADDRESS}", "--endpoint-reconciler-type=lease"),
            "--kubelet-preferred-address-types=InternalIP",
        )
        return [
            etcd,
            replace(apiserver, argv=(*apiserver.argv, *more)),  # the last of two flags counts
            replace(manager, argv=(*manager.argv, "--controllers=*")),
            Service(
                name=SCHEDULER,
                argv=(
                    str(self.program(parts.KUBE_SCHEDULER)),
                    f"--kubeconfig={self.admin}",
                    "--leader-elect=false",
                    f"--bind-address={LOOPBACK}",
                    f"--tls-cert-file={self._pki.server}",
                    f"--tls-private-key-file={self._pki.server_key}",
                ),
                probe=Probe(url=f"https://{LOOPBACK}:{_SCHEDULER_PORT}/healthz", ca=str(self._pki.ca)),
                log=self._log(SCHEDULER),
                address=f"https://{LOOPBACK}:{_SCHEDULER_PORT}",
                after=(kubernetes.APISERVER,),
            ),
        ]

    def workers(self) -> list[Service]:
        """Describe kubelet and kube-proxy."""
        home, settings = self._folder("kubelet"), self._folder("settings")
        (settings / "resolv.conf").touch()  # no pod of the trial asks for a name
        (settings / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet_config(settings)), encoding="utf-8")
        (settings / "proxy.yaml").write_text(yaml.safe_dump(self._proxy_config()), encoding="utf-8")
        environ = {"PATH": _SYSTEM_PATH}
        return [
            Service(
                name=KUBELET,
                argv=(
                    str(self.program(parts.KUBELET)),
                    f"--config={settings}/kubelet.yaml",
                    f"--kubeconfig={self.admin}",
                    f"--root-dir={home}",
                    f"--cert-dir={home}/pki",
                    f"--hostname-override={NAME}",
                    f"--node-ip={ADDRESS}",
                ),
                environ=environ,
                probe=Probe(url=f"http://{LOOPBACK}:{_KUBELET_PORT}/healthz"),
                log=self._log(KUBELET),
                address=f"https://{ADDRESS}:10250",
                after=(kubernetes.APISERVER,),
            ),
            Service(
                name=PROXY,
                argv=(
                    str(self.program(parts.KUBE_PROXY)),
                    f"--config={settings}/proxy.yaml",
                    f"--hostname-override={NAME}",
                ),
                environ=environ,
                probe=Probe(url=f"http://{LOOPBACK}:{_PROXY_PORT}/healthz"),
                log=self._log(PROXY),
                address=f"http://{LOOPBACK}:{_PROXY_PORT}",
                after=(kubernetes.APISERVER, KUBELET),
            ),
        ]

    def registries(self) -> list[Service]:
        """Describe two registries that pods reach."""
        described = registries.registry_services(self.layout, self.program, "", host=ADDRESS)
        return [service for service in described if service.name != registries.AUTH]

    @property
    def _pki(self) -> Pki:
        return Pki(self.layout.run / "kubernetes" / "pki")

    def _folder(self, name: str) -> Path:
        folder = self.layout.run / name
        folder.mkdir(exist_ok=True)
        return folder

    def _log(self, name: str) -> str:
        return f"{self.layout.logs}/{name}.log"

    def _containerd_config(self, home: Path, tools: Path, network: Path) -> str:
        return (
            "version = 2\n"
            f'root = "{home}/root"\n'
            f'state = "{home}/state"\n'
            "[grpc]\n"
            f'  address = "{self.containerd_socket}"\n'
            "[plugins.'io.containerd.grpc.v1.cri']\n"
            f'  sandbox_image = "{self.pause}"\n'
            "  restrict_oom_score_adj = true\n"  # where root may not make a process less likely to be killed
            "[plugins.'io.containerd.grpc.v1.cri'.cni]\n"
            f'  bin_dir = "{tools}"\n'
            f'  conf_dir = "{network}"\n'
        )

    def _kubelet_config(self, settings: Path) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "healthzPort": _KUBELET_PORT,
            # Nobody reaches this kubelet but the node itself and its pods, which are the tests'.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self.containerd_socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "resolvConf": str(settings / "resolv.conf"),
            "podLogsDir": str(self.layout.logs / "pods"),
            "volumePluginDir": str(settings / "volume-plugins"),
            "evictionHard": {"memory.available": "10Mi"},  # how full the machine's disk is does not matter
            "imageGCHighThresholdPercent": 100,
            "syncFrequency": "10s",
        }

    def _proxy_config(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.admin)},
            "mode": "iptables",
            "clusterCIDR": PODS,
            "healthzBindAddress": f"{LOOPBACK}:{_PROXY_PORT}",
            "metricsBindAddress": f"{LOOPBACK}:{free_ports(1)[0]}",
            "conntrack": {"maxPerCore": 0},  # the machine's own setting holds
        }


def _network(run: Path) -> dict[str, Any]:
    """Return the network of the pods: one bridge, which has the node's address."""
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": PODS, "gateway": ADDRESS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(run / "addresses"),
                },
            }
        ],
    }
