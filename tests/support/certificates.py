"""Certificates for a daemon behind TLS, made anew for a test."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.certificates import Pki, make_request
from imageops.engine.connection import DaemonTls


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the two sides of a connection need, all signed by one authority."""

    client: DaemonTls
    server: Path
    server_key: Path


def make_tls_files(folder: Path, *, also: Sequence[str] = ()) -> TlsFiles:
    """Make an authority, a server's certificate for 127.0.0.1 and further addresses, and a client's."""
    pki = Pki(folder)
    pki.make(also=also)
    key, request, certificate = (folder / f"client.{end}" for end in ("key", "csr", "crt"))
    make_request(key=key, request=request, subject="/CN=operator")
    extensions = folder / "client.ext"
    extensions.write_text("extendedKeyUsage=clientAuth\n", encoding="utf-8")
    authority = ("-CA", str(pki.ca), "-CAkey", str(pki.ca_key), "-CAcreateserial")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-extfile", extensions, *authority, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return TlsFiles(DaemonTls(ca=pki.ca, certificate=certificate, key=key), pki.server, pki.server_key)
