"""Packages of three registries, fetched by their ordinary clients and unpacked safely.

:func:`fetch` downloads one package without its dependencies into a folder and unpacks it there.
Python packages (``sdist``, ``wheel``) come by ``pip download``, Debian's (``debian``) by
``apt-get download`` (root is not needed), npm's (``npm``) by ``npm pack``. A Python sdist may run
its build back end, so only packages that build without a compiler are worth naming.
"""

from __future__ import annotations

import fnmatch
import gzip
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from autorag.errors import AutoragError, InputError

TIMEOUT_S = 600
PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")


@dataclass(frozen=True, slots=True)
class Package:
    """An unpacked package: where it lies, and what it says about itself."""

    root: Path
    version: str
    licence: str


def fetch(kind: str, name: str, version: str, folder: Path) -> Package:
    """Download ``name`` (of ``version``, unless that is empty) and unpack it under ``folder``.

    Raises:
        AutoragError: the client is missing, says no, or takes longer than TIMEOUT_S.
        InputError: no such kind of package.
    """
    if kind not in KINDS:
        raise InputError(
            f"{kind!r}: no such kind of package ({', '.join(KINDS)})", key="kind", value=kind
        )
    client, unpack = KINDS[kind]
    drop, root = folder / "download", folder / "unpacked"
    drop.mkdir()
    root.mkdir()
    run(client(name, version), drop)
    found = sorted(drop.iterdir())
    if len(found) != 1:
        raise AutoragError(f"{name}: expected one file, got {[f.name for f in found]}")
    unpack(found[0], root)
    return _described(kind, name, found[0], root)


def run(command: Sequence[str], folder: Path) -> str:
    """Run a client in ``folder``; what it printed.

    Raises:
        AutoragError: it is missing, failed (with the end of what it said) or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise AutoragError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise AutoragError(f"{' '.join(command)}: not done in {TIMEOUT_S} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["(nothing)"]
        raise AutoragError(f"{' '.join(command)} failed: {said[-1][-300:]}")
    return done.stdout


def files(root: Path, globs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """``(relative name, content)`` of the real files inside ``root`` that match, in order.

    A pattern after ``!`` leaves files out. Gzip is taken off, and its suffix with it. Links are
    aliases or lead outside: left out.
    """
    inside = root.resolve()
    unwanted = [glob[1:] for glob in globs if glob[0] == "!"]
    for path in sorted({p for glob in globs if glob[0] != "!" for p in root.glob(glob)}):
        name = path.relative_to(root).as_posix()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in unwanted) or path.is_symlink():
            continue
        if not path.is_file() or not path.resolve().is_relative_to(inside):
            continue
        raw = path.read_bytes()
        if path.suffix in (".gz", ".dz"):
            name, raw = name[: -len(path.suffix)], gzip.decompress(raw)
        yield name, raw


def _pip_sdist(name: str, version: str) -> list[str]:
    return [*PIP, "--no-binary", ":all:", _pinned(name, "==", version)]


def _pip_wheel(name: str, version: str) -> list[str]:
    return [*PIP, "--only-binary", ":all:", _pinned(name, "==", version)]


def _apt(name: str, version: str) -> list[str]:
    return ["apt-get", "download", "--quiet", _pinned(name, "=", version)]


def _npm(name: str, version: str) -> list[str]:
    return ["npm", "pack", "--silent", "--ignore-scripts", _pinned(name, "@", version)]


def _pinned(name: str, sign: str, version: str) -> str:
    return f"{name}{sign}{version}" if version else name


def _unpack_tar(archive: Path, root: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(root, filter="data")


def _unpack_zip(archive: Path, root: Path) -> None:
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(root)


def _unpack_deb(archive: Path, root: Path) -> None:
    """By way of tar, so that the same filter keeps every member inside ``root``."""
    stream = archive.with_suffix(".tar")
    with stream.open("wb") as sink:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], stdout=sink, check=True)
    with tarfile.open(stream) as tar:
        tar.extractall(root, filter=_data_only)


def _data_only(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """The ``data`` filter, which leaves links to absolute paths out instead of stopping."""
    try:
        return tarfile.data_filter(member, path)
    except tarfile.FilterError:
        if member.issym() or member.islnk():
            return None
        raise


KINDS: dict[str, tuple[Callable[[str, str], list[str]], Callable[[Path, Path], None]]] = {
    "sdist": (_pip_sdist, _unpack_tar),
    "wheel": (_pip_wheel, _unpack_zip),
    "debian": (_apt, _unpack_deb),
    "npm": (_npm, _unpack_tar),
}


def _described(kind: str, name: str, archive: Path, root: Path) -> Package:
    if kind == "npm":
        about = json.loads((root / "package" / "package.json").read_bytes())
        return Package(root, about["version"], _words(about.get("license", "")))
    if kind == "debian":
        version = run(["dpkg-deb", "--field", str(archive), "Version"], root).strip()
        return Package(root, version, _debian_licence(root / "usr/share/doc" / name / "copyright"))
    pattern = "*/PKG-INFO" if kind == "sdist" else "*.dist-info/METADATA"
    about = HeaderParser().parsestr(next(root.glob(pattern)).read_text("utf-8"))
    stated = about["License-Expression"] or about["License"] or ""
    classified = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if "License" in c]
    return Package(root, about["Version"], _words(stated.split("\n")[0] or ", ".join(classified)))


def _debian_licence(copyright_file: Path) -> str:
    """The licences that a machine-readable copyright file names."""
    if not copyright_file.is_file():
        return "not declared"
    text = copyright_file.read_text("utf-8", errors="replace")
    named = re.findall(r"^License:[ \t]*([\w.+~-]+(?: [\w.+~-]+){0,6})[ \t]*$", text, re.MULTILINE)
    return ", ".join(sorted(set(named))) or "see the package's copyright file"


def _words(licence: object) -> str:
    return str(licence).strip() or "not declared"
