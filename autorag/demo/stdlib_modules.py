"""Which modules make up the public standard library, and how to get at them.

The demo corpus should look the same on every supported interpreter, so modules that later
versions removed, private implementation modules and modules whose import does something are
left out here, in one place.
"""

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

REMOVED = frozenset(
    [
        "aifc",
        "asynchat",
        "asyncore",
        "audioop",
        "cgi",
        "cgitb",
        "chunk",
        "crypt",
        "distutils",
        "imghdr",
        "imp",
        "lib2to3",
        "mailcap",
        "msilib",
        "nis",
        "nntplib",
        "ossaudiodev",
        "pipes",
        "smtpd",
        "sndhdr",
        "spwd",
        "sunau",
        "telnetlib",
        "uu",
        "xdrlib",
    ]
)
"""Modules of Python 3.11 that Python 3.12 or 3.13 no longer has (PEP 594 and others)."""

NOT_WANTED = frozenset(
    [
        "antigravity",
        "ensurepip",
        "idlelib",
        "pydoc_data",
        "site",
        "sitecustomize",
        "test",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
        "usercustomize",
    ]
)
"""Modules that are no library, need a display, or act when they are imported."""

OTHER_NAMES = frozenset(
    [
        "genericpath",
        "nt",
        "ntpath",
        "nturl2path",
        "posix",
        "posixpath",
        "pyexpat",
        "readline",
        "rlcompleter",
        "sre_compile",
        "sre_constants",
        "sre_parse",
    ]
)
"""Modules behind a public one (``posixpath`` is ``os.path``), deprecated or interactive only."""

SKIPPED = REMOVED | NOT_WANTED | OTHER_NAMES
CLOSED_PACKAGES = frozenset({"encodings", "ctypes.macholib"})
"""Packages that count as one module: their parts are data or internals."""

EXTRA = ("os.path",)
"""Public modules that no package listing shows."""


def is_public_part(name: str) -> bool:
    """Tell whether one part of a dotted name belongs to the public library."""
    return not name.startswith("_") and name not in {"test", "tests"}


def import_quietly(name: str) -> ModuleType | None:
    """Import a module without its warnings; ``None`` where this build does not have it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except (ImportError, AttributeError, OSError, ValueError):
            return None


def _with_submodules(name: str) -> Iterator[tuple[str, ModuleType]]:
    """Yield a module and, for a package, every public module below it."""
    module = import_quietly(name)
    if module is None:
        return
    yield name, module
    if name in CLOSED_PACKAGES:
        return
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if is_public_part(info.name):
            yield from _with_submodules(f"{name}.{info.name}")


def _rank(name: str) -> tuple[bool, int, str]:
    """Order modules so that the shortest public name of a shared object comes first."""
    return name != "builtins", name.count("."), name


def public_modules() -> dict[str, ModuleType]:
    """Return the public modules of this interpreter by name: builtins first, then by depth."""
    names = {n for n in sys.stdlib_module_names if is_public_part(n)} - SKIPPED
    found = dict(pair for name in sorted(names) for pair in _with_submodules(name))
    for name in EXTRA:
        module = import_quietly(name)
        if module is not None:
            found[name] = module
    return {name: found[name] for name in sorted(found, key=_rank)}
