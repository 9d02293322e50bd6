"""Bearer keys. Only hashes are stored; a key is shown once, when it is made.

``AUTORAG_ADMIN_KEY`` sets the admin key. Without it the first start makes one and writes it to
``admin.key`` in the home folder, which only its owner can read.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from api.settings import Settings
from store.keys import KeyRepository

KEY_BYTES = 32
KEY_FILE = "admin.key"


@dataclass(frozen=True, slots=True)
class MadeKey:
    """An admin key that was just made, and where it was written."""

    key: str
    path: Path


def establish_admin_key(settings: Settings, keys: KeyRepository) -> MadeKey | None:
    """Make sure that there is an admin key; returns one that had to be made.

    Raises:
        OSError: the key file cannot be written.
    """
    if settings.admin_key is not None:
        keys.set_environment_key(hashed(settings.admin_key))
        return None
    if keys.any_live():
        return None
    made = MadeKey(secrets.token_urlsafe(KEY_BYTES), settings.home / KEY_FILE)
    _write_private(made.path, made.key)
    keys.add(hashed(made.key), origin="generated")
    return made


def hashed(key: str) -> str:
    """What is stored of a key. (Keys are random, so that one round of SHA-256 is enough.)"""
    return hashlib.sha256(key.encode()).hexdigest()


def bearer(header: str | None) -> str | None:
    """The key in an Authorization header."""
    scheme, _, key = (header or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    draft.replace(path)
