"""See what a pod of the node reaches, with the egress of a NetworkPolicy enforced by iptables.

The node's own network enforces none. What is understood is what the chart writes: ports by number, `ipBlock` with
exceptions, and `namespaceSelector`, which on this node selects nobody. Replies always pass
(https://kubernetes.io/docs/concepts/services-networking/network-policies/).
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

Target = tuple[str, int]
"""Address and port."""

_TRY = """
import json, socket, sys
reached = []
for address, port in json.load(sys.stdin):
    try:
        socket.create_connection((address, port), timeout=5).close()
        reached.append((address, port))
    except OSError:
        pass
json.dump(reached, sys.stdout)
"""
_CHAIN = "TRIAL"
_HOOKS = ("INPUT", "FORWARD")
"""What a pod sends to the node itself, and what it sends to others."""

Rule = tuple[str, ...]
"""A chain, and what stands in one of its rules."""


@contextmanager
def egress_enforced(policy: Mapping[str, Any], pod_address: str) -> Iterator[None]:
    """Let the pod send only what the policy allows while the block runs; all else is refused at once."""
    rules = list(_rules(policy))
    chains = list(dict.fromkeys(chain for chain, *_ in rules))
    for chain in chains:
        _iptables("-N", chain)
    try:
        for rule in rules:
            _iptables("-A", *rule)
        for hook in _HOOKS:
            _iptables("-I", hook, "-s", pod_address, "-j", _CHAIN)
        yield
    finally:
        for hook in _HOOKS:
            _iptables("-D", hook, "-s", pod_address, "-j", _CHAIN, check=False)
        for action in ("-F", "-X"):
            for chain in chains:
                _iptables(action, chain)


@contextmanager
def listening(targets: Sequence[Target]) -> Iterator[None]:
    """Have the node accept connections at these addresses as well while the block runs."""
    addresses = dict.fromkeys(address for address, _ in targets)
    with ExitStack() as stack:
        for address in addresses:
            _run("ip", "address", "add", f"{address}/32", "dev", "lo")
            stack.callback(_run, "ip", "address", "delete", f"{address}/32", "dev", "lo")
        for target in targets:
            stack.enter_context(socket.create_server(target))
        yield


def reached(process: int, targets: Sequence[Target]) -> list[Target]:
    """Return which targets can be connected to from the network of a pod, of which a process is given."""
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{process}/ns/net", sys.executable, "-c", _TRY],
        input=json.dumps(targets),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [(address, port) for address, port in json.loads(done.stdout)]


def _rules(policy: Mapping[str, Any]) -> Iterator[Rule]:
    yield (_CHAIN, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
    for number, allowed in enumerate(policy["spec"]["egress"]):
        peers = f"{_CHAIN}-{number}"
        yield from _peers(peers, allowed)
        for port in allowed.get("ports") or ():
            protocol = str(port.get("protocol", "TCP")).lower()
            yield (_CHAIN, "-p", protocol, "--dport", str(port["port"]), "-j", peers)
        if not allowed.get("ports"):
            yield (_CHAIN, "-j", peers)
    yield (_CHAIN, "-j", "REJECT")


def _peers(chain: str, allowed: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the chain that accepts what goes to one of a rule's peers."""
    if "to" not in allowed:
        yield (chain, "-j", "ACCEPT")
        return
    blocks = [peer["ipBlock"] for peer in allowed["to"] if "ipBlock" in peer]
    for number, block in enumerate(block for block in blocks if ":" not in block["cidr"]):
        own = f"{chain}-{number}"
        for excepted in block.get("except") or ():
            yield (own, "-d", excepted, "-j", "RETURN")
        yield (own, "-j", "ACCEPT")
        yield (chain, "-d", block["cidr"], "-j", own)
    yield (chain, "-j", "RETURN")


def _iptables(*words: str, check: bool = True) -> None:
    _run("iptables", "-w", *words, check=check)


def _run(*words: str, check: bool = True) -> None:
    subprocess.run(words, check=check, capture_output=True)
