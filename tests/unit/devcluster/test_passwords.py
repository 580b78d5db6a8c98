"""Passwords are hashed as the registry checks them."""

from __future__ import annotations

import ctypes
import re

from devcluster.passwords import bcrypt


def test_a_hash_is_bcrypt_salted_and_fits_its_password_only() -> None:
    """crypt(3) of the password with the hash as setting gives the hash again."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    first, second = bcrypt("correct horse"), bcrypt("correct horse")
    assert re.fullmatch(r"\$2b\$05\$[./A-Za-z0-9]{53}", first)
    assert first != second
    assert crypt(b"correct horse", first.encode()) == first.encode()
    assert crypt(b"wrong horse", first.encode()) != first.encode()
