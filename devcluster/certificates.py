"""Make the keys and certificates of a private API server with the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devcluster.errors import DevClusterError
from devcluster.ports import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DAYS = "365"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pki:
    """Name the files of one authority: its certificate and key, and a server's signed by it.

    `accounts_key` signs the tokens of ServiceAccounts, `accounts_public` checks them.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        """Locate the authority's certificate."""
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """Locate the authority's key."""
        return self.folder / "ca.key"

    @property
    def server(self) -> Path:
        """Locate the server's certificate."""
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        """Locate the server's key."""
        return self.folder / "server.key"

    @property
    def accounts_key(self) -> Path:
        """Locate the key that signs ServiceAccount tokens."""
        return self.folder / "accounts.key"

    @property
    def accounts_public(self) -> Path:
        """Locate the key that ServiceAccount tokens are checked with."""
        return self.folder / "accounts.pub"

    def make(self, *, also: Sequence[str] = ()) -> None:
        """Make all files anew; the keys can be read by their owner only.

        `also` are further addresses of the server.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _openssl(
            *("req", "-x509", *_CURVE, "-days", _DAYS, "-subj", "/CN=imageops-dev"),
            *("-addext", "keyUsage=critical,keyCertSign,digitalSignature"),
            *("-keyout", str(self.ca_key), "-out", str(self.ca)),
        )
        request = self.folder / "server.csr"
        make_request(key=self.server_key, request=request, subject="/CN=kube-apiserver")
        extensions = self.folder / "server.ext"
        addresses = ",".join(f"IP:{address}" for address in (ADDRESS, *also))
        extensions.write_text(
            f"subjectAltName={addresses},DNS:localhost,DNS:kubernetes.default.svc\nextendedKeyUsage=serverAuth\n",
            encoding="utf-8",
        )
        _openssl(
            *("x509", "-req", "-days", _DAYS, "-in", str(request), "-extfile", str(extensions)),
            *("-CA", str(self.ca), "-CAkey", str(self.ca_key), "-CAcreateserial", "-out", str(self.server)),
        )
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self.accounts_key))
        _openssl("pkey", "-in", str(self.accounts_key), "-pubout", "-out", str(self.accounts_public))


def make_request(*, key: Path, request: Path, subject: str) -> None:
    """Make a key and a request to have it certified for this subject, such as "/CN=name"."""
    _openssl("req", "-new", *_CURVE, "-keyout", str(key), "-subj", subject, "-out", str(request))


def _openssl(*arguments: str) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, umask=0o077)
    except FileNotFoundError as error:
        msg = "the program openssl is needed to make certificates: install the package openssl"
        raise DevClusterError(msg) from error
    if done.returncode:
        msg = f"openssl {arguments[0]} failed: {done.stderr.strip()}"
        raise DevClusterError(msg)
