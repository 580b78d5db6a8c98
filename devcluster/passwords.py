"""Hash a password as an htpasswd file wants it."""

from __future__ import annotations

import ctypes
import ctypes.util
import secrets
import threading

from devcluster.errors import DevClusterError

_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SALT_CHARACTERS = 22
_COST = 5
"""Two to this power rounds, the least the registry takes: each request is checked anew, and tests make thousands."""

_crypt_at_work = threading.Lock()
"""crypt(3) writes its answer where it wrote the last one."""
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt"), "libc.so")


def bcrypt(password: str) -> str:
    """Hash the password with bcrypt and a random salt, by crypt(3) of the system's C library.

    Raises `DevClusterError` where no library of this system knows bcrypt.
    """
    salt = "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_CHARACTERS - 1))
    setting = f"$2b${_COST:02d}${salt}u"  # the last character carries two bits only; 'u' has the other four clear
    for name in filter(None, _LIBRARIES):
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        with _crypt_at_work:
            answer: bytes | None = crypt(password.encode(), setting.encode())
        if answer and answer.startswith(setting.encode()):
            return answer.decode()
    msg = (
        "no C library here hashes with bcrypt, which the registry's password file needs: install libcrypt1 (libxcrypt)"
    )
    raise DevClusterError(msg)
