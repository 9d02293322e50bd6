"""Bearer keys. Only hashes are stored; a key is shown once, when it is made.

``AUTORAG_ADMIN_KEY`` sets the admin key. Without it the first start makes one and writes it to
``admin.key`` in the home folder, which only its owner can read. An admin key opens everything, an
app's key its app for its scopes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from api.settings import Settings
from autorag.errors import ForbiddenError, UnauthenticatedError
from store.keys import Key, KeyRepository

KEY_BYTES = 32
KEY_FILE = "admin.key"
NO_KEY = "no valid key: Authorization: Bearer KEY"


@dataclass(frozen=True, slots=True)
class MadeKey:
    """An admin key that was just made, and where it was written."""

    key: str
    path: Path


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a live key, and its hash."""

    key: Key
    hash: str


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
    made = MadeKey(new_key(), settings.home / KEY_FILE)
    _write_private(made.path, made.key)
    keys.add(hashed(made.key), origin="generated")
    return made


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_urlsafe(KEY_BYTES)


def hashed(key: str) -> str:
    """What is stored of a key. (Keys are random, so that one round of SHA-256 is enough.)"""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def bearer(header: str | None) -> str | None:
    """The key in an Authorization header."""
    scheme, _, key = (header or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def password(header: str | None) -> str | None:
    """The password in an Authorization header of a browser, which knows no bearer keys."""
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2] or None
    except ValueError:
        return None


async def identify(request: Request, key: str | None) -> Caller:
    """Whose key this is.

    Raises:
        UnauthenticatedError: it is none, or was revoked.
    """
    if key is not None:
        hash_ = hashed(key)
        found = await request.app.state.service.keys.find(hash_)
        if found is not None:
            return Caller(found, hash_)
    raise UnauthenticatedError(NO_KEY)


_documented = HTTPBearer(
    scheme_name="key", description="An admin key, or a key of the app.", auto_error=False
)


async def _admin(request: Request, _: Annotated[object, Depends(_documented)]) -> Caller:
    caller = await identify(request, bearer(request.headers.get("authorization")))
    if not caller.key.admin:
        raise ForbiddenError("this needs an admin key")
    return caller


async def _anyone(request: Request, _: Annotated[object, Depends(_documented)]) -> Caller:
    return await identify(request, bearer(request.headers.get("authorization")))


Admin = Annotated[Caller, Depends(_admin)]
"""A caller with an admin key."""

Anyone = Annotated[Caller, Depends(_anyone)]
"""A caller with any live key; the route says what it opens."""


def opened(scope: str | None) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller may do what ``scope`` names with the app in the path; None asks for
    any key of that app."""

    async def check(request: Request, _: Annotated[object, Depends(_documented)]) -> Caller:
        caller = await identify(request, bearer(request.headers.get("authorization")))
        allow(caller, request.path_params["app"], scope)
        return caller

    return check


def allow(caller: Caller, app: str, scope: str | None) -> None:
    """Let the caller at an app.

    Raises:
        ForbiddenError: the key is another app's, or lacks the scope.
    """
    key = caller.key
    if key.admin:
        return
    if key.app != app:
        raise ForbiddenError(f"this key does not open app {app!r}")
    if scope is not None and scope not in key.scopes:
        raise ForbiddenError(f"this key lacks the scope {scope!r}")


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    draft.replace(path)
