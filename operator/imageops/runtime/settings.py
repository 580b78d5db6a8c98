"""What an administrator sets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from imageops.core.lease import Timing
from imageops.engine.connection import DaemonAddress, DaemonTls

DEFAULT_DAEMON = "default"
DEFAULT_MAX_TRANSFERS = 6
DEFAULT_REGISTRY_RATE = 50
DEFAULT_LEASE_SECONDS = 15
"""As Kubernetes' own controllers have it."""
MIN_LEASE_SECONDS = 3
"""With less, a holder that gives up after two thirds would have less than a second to end in."""
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""A DNS label (RFC 1123), as the names of namespaces are; no pattern, which kopf would take as well."""

_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""The key of a label or annotation."""


class SettingsError(ValueError):
    """A setting cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """The Lease that several processes share, of which the one that holds it works."""

    namespace: str
    name: str
    timing: Timing = Timing(DEFAULT_LEASE_SECONDS)  # noqa: RUF009 - a frozen value

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """Read the `IMAGEOPS_LEASE_*` variables; None without IMAGEOPS_LEASE_NAME.

        Raises:
            SettingsError: If one of them cannot be used.

        """
        name = environment.get("IMAGEOPS_LEASE_NAME", "")
        namespace = environment.get("IMAGEOPS_LEASE_NAMESPACE", "")
        if not name:
            return None
        if not namespace:
            raise SettingsError(
                "IMAGEOPS_LEASE_NAME is of no use without IMAGEOPS_LEASE_NAMESPACE, where the Lease lies"
            )
        seconds = _positive(environment, "IMAGEOPS_LEASE_DURATION_SECONDS", DEFAULT_LEASE_SECONDS)
        if seconds < MIN_LEASE_SECONDS:
            raise SettingsError(f"IMAGEOPS_LEASE_DURATION_SECONDS={seconds} is less than {MIN_LEASE_SECONDS}")
        return cls(namespace=namespace, name=name, timing=Timing(seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one operator process."""

    daemons: Mapping[str, str]
    """The address of each daemon by its name: `unix:///…` or `tcp://host:port`. Objects name daemons only."""
    default_daemon: str
    """The daemon of objects that name none."""
    daemon_certificates: Path | None = None
    """Holds a folder for each daemon behind TCP, by its name, with the files of a `kubernetes.io/tls` Secret."""
    namespaces: tuple[str, ...] = ()
    """The namespaces whose objects are looked after; none = all of them."""
    kubeconfig: str | None = None
    """A kubeconfig file; None = the ServiceAccount of the pod."""
    health_host: str = "0.0.0.0"  # noqa: S104 - probes come from the node
    health_port: int = 8080
    """Where /healthz, /readyz and /metrics are served; 0 = any free port."""
    log_level: str = "INFO"
    max_transfers: int = DEFAULT_MAX_TRANSFERS
    """Pulls and pushes that may run on one daemon at the same time: twice the Engine's own default for downloads."""
    registry_rate: int = DEFAULT_REGISTRY_RATE
    """Operations per second that may turn to one registry with one credential."""
    gitops_marks: frozenset[str] = frozenset()
    """Labels and annotations, beside those that are known, under which ttlSecondsAfterFinished is ignored."""
    lease: LeaseSettings | None = None
    """None = this process works alone, and always."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the `IMAGEOPS_*` variables.

        Raises:
            SettingsError: If one of them cannot be used.

        """
        daemons = parse_daemons(environment.get("IMAGEOPS_DAEMONS", f"{DEFAULT_DAEMON}=unix:///var/run/docker.sock"))
        first = DEFAULT_DAEMON if DEFAULT_DAEMON in daemons else next(iter(daemons))
        default = environment.get("IMAGEOPS_DEFAULT_DAEMON", first)
        if default not in daemons:
            raise SettingsError(f"IMAGEOPS_DEFAULT_DAEMON={default} is not among the daemons {', '.join(daemons)}")
        certificates = environment.get("IMAGEOPS_DAEMON_CERTS")
        port = environment.get("IMAGEOPS_HEALTH_PORT", "8080")
        if not port.isdecimal() or int(port) > 65535:
            raise SettingsError(f"IMAGEOPS_HEALTH_PORT={port} is not a port")
        level = environment.get("IMAGEOPS_LOG_LEVEL", "INFO").upper()
        if level not in LOG_LEVELS:
            raise SettingsError(f"IMAGEOPS_LOG_LEVEL={level} is not one of {', '.join(LOG_LEVELS)}")
        settings = cls(
            daemons=daemons,
            default_daemon=default,
            daemon_certificates=Path(certificates) if certificates else None,
            namespaces=_namespaces(environment.get("IMAGEOPS_NAMESPACES", "")),
            kubeconfig=environment.get("KUBECONFIG"),
            health_host=environment.get("IMAGEOPS_HEALTH_HOST", "0.0.0.0"),  # noqa: S104 - probes come from the node
            health_port=int(port),
            log_level=level,
            max_transfers=_positive(environment, "IMAGEOPS_MAX_TRANSFERS", DEFAULT_MAX_TRANSFERS),
            registry_rate=_positive(environment, "IMAGEOPS_REGISTRY_RATE", DEFAULT_REGISTRY_RATE),
            gitops_marks=_keys(environment.get("IMAGEOPS_GITOPS_MARKS", "")),
            lease=LeaseSettings.from_environment(environment),
        )
        for name, address in daemons.items():
            try:
                DaemonAddress(address, settings.daemon_tls(name))
            except ValueError as error:
                raise SettingsError(f"IMAGEOPS_DAEMONS: {name}: {error}") from None
        return settings

    def daemon_tls(self, name: str) -> DaemonTls | None:
        """Return the files for TLS with a daemon; None for a socket, and for TCP if no certificates are configured.

        Nothing is read here. Secrets that cert-manager or `kubectl create secret tls` made have these names in them.
        """
        if self.daemon_certificates is None or not self.daemons[name].startswith("tcp://"):
            return None
        folder = self.daemon_certificates / name
        return DaemonTls(ca=folder / "ca.crt", certificate=folder / "tls.crt", key=folder / "tls.key")


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not int(text):
        raise SettingsError(f"{name}={text} is not a whole number above 0")
    return int(text)


def _namespaces(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if len(name) > 63 or not _LABEL.fullmatch(name):
            raise SettingsError(f"IMAGEOPS_NAMESPACES: {name!r} is no name of a namespace")
    return names


def _keys(text: str) -> frozenset[str]:
    keys = frozenset(key.strip() for key in text.split(",")) if text else frozenset()
    for key in keys:
        if not _KEY.fullmatch(key):
            raise SettingsError(f"IMAGEOPS_GITOPS_MARKS: {key!r} is no key of a label or annotation")
    return keys


def parse_daemons(text: str) -> dict[str, str]:
    """Read `name=address,name=address`.

    Raises:
        SettingsError: If an entry has another form.

    """
    daemons: dict[str, str] = {}
    for entry in text.split(","):
        name, equals, address = entry.strip().partition("=")
        if not equals or not name or not address.startswith(("unix://", "tcp://")):
            raise SettingsError(f"IMAGEOPS_DAEMONS: {entry!r} is not name=unix:///path or name=tcp://host:port")
        if name in daemons:
            raise SettingsError(f"IMAGEOPS_DAEMONS: {name!r} stands there twice")
        daemons[name] = address
    return daemons
