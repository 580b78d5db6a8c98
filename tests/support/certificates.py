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


def make_early_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that is not valid before the year 2090, and its key."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key, request, certificate, settings = (folder / f"early.{end}" for end in ("key", "csr", "crt", "cnf"))
    make_request(key=key, request=request, subject="/CN=registry.test")
    (folder / "index").touch()
    settings.write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\nnew_certs_dir={folder}\ndefault_md=sha256\npolicy=any\n"
        "rand_serial=yes\n[any]\ncommonName=supplied\n",
        encoding="utf-8",
    )
    times = ("-startdate", "20900101000000Z", "-enddate", "20910101000000Z")
    authority = ("-config", str(settings), "-selfsign", "-keyfile", str(key), "-batch", "-notext")
    subprocess.run(
        ["openssl", "ca", *authority, *times, "-in", str(request), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key
