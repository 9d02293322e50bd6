"""The demo corpus: the docstrings of the running interpreter's standard library.

It needs no download and no third-party data, yet it is a real corpus of some thousands of short
technical texts. Every document carries the *public* name of what it describes, so that the
questions' gold names hold on every supported Python version, wherever an object is implemented.
"""

import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from autorag.demo.stdlib_modules import is_public_part, public_modules

MIN_CHARS = 20
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LIVE_OBJECTS = re.compile(r"\[<weakref[^\]]*\]")
_LOCAL_PATH = re.compile(r"'(?:/|[A-Za-z]:)[^']*[/\\](?:python|lib)[^']*'", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


class DocRecord(NamedTuple):
    """One document: its dotted public name (twice, as id and as title) and its text."""

    id: str
    title: str
    text: str


class _Named(NamedTuple):
    """A live object of the library and the public name it goes by."""

    name: str
    value: Any


def stdlib_documents() -> list[DocRecord]:
    """Return one document per documented public name of the standard library, ordered by id.

    Texts that occur more than once (boilerplate, methods repeated in many classes) are kept once,
    under the first name: modules come before functions and classes, those before methods.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = list(_documents())
    return sorted(records, key=lambda record: record.id)


def _documents() -> Iterator[DocRecord]:
    """Yield the documents in the order in which names are preferred."""
    modules = public_modules()
    members = list(_all_members(modules))
    classes = [member for member in members if inspect.isclass(member.value)]
    named = [_Named(name, module) for name, module in modules.items()]
    texts: set[str] = set()
    for item in [*named, *members, *_all_methods(classes)]:
        doc = _docstring(item.value)
        key = _SPACE.sub(" ", doc)
        if len(key) >= MIN_CHARS and key not in texts:
            texts.add(key)
            yield DocRecord(item.name, item.name, _text(item, doc))


def _text(item: _Named, doc: str) -> str:
    """Join the signature, where there is one, and the docstring."""
    signature = _signature(item.value)
    return f"{item.name}{signature}\n\n{doc}" if signature else doc


def _docstring(value: Any) -> str:
    """Return the object's own docstring, cleaned; empty when it has none."""
    doc = _unwrapped(value).__doc__
    return inspect.cleandoc(doc).strip() if isinstance(doc, str) else ""


def _signature(value: Any) -> str:
    """Return the call signature as text, free of this process's state; empty when unknown."""
    if isinstance(value, ModuleType) or not callable(_unwrapped(value)):
        return ""
    try:
        text = str(inspect.signature(_unwrapped(value)))
    except (TypeError, ValueError, NameError, AttributeError):
        return ""
    for pattern, replacement in ((_ADDRESS, ""), (_LIVE_OBJECTS, "[...]"), (_LOCAL_PATH, "...")):
        text = pattern.sub(replacement, text)
    return text


def _unwrapped(value: Any) -> Any:
    """Return the function inside a class method or static method, else the object itself."""
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _all_members(modules: dict[str, ModuleType]) -> Iterator[_Named]:
    """Yield the documented functions, classes and special objects of all modules, each once."""
    seen: set[int] = set()
    for module_name, module in modules.items():
        prefix = "" if module_name == "builtins" else f"{module_name}."
        for name, value in _module_members(module_name, module):
            if id(value) not in seen and not _is_at_home_elsewhere(value, module_name, modules):
                seen.add(id(value))
                yield _Named(prefix + name, value)


def _module_members(module_name: str, module: ModuleType) -> list[tuple[str, Any]]:
    """List a module's public members; an object's own name comes before its aliases."""
    exported = frozenset(getattr(module, "__all__", ()))
    pairs = [(name, _get(module, name)) for name in sorted({*exported, *vars(module)})]
    private_too = not exported
    kept = [
        (name, value)
        for name, value in pairs
        if is_public_part(name)
        and _is_documented(value)
        and (name in exported or _is_defined_in(value, module_name, private_too))
    ]
    return sorted(kept, key=lambda pair: (pair[0] != getattr(pair[1], "__name__", None), pair[0]))


def _get(module: ModuleType, name: str) -> Any:
    """Read an attribute; ``None`` when it cannot be had (a lazy import that fails here).

    A host program may replace the hooks of ``sys`` and ``threading``; the original counts then.
    """
    try:
        value = getattr(module, name)
    except (AttributeError, ImportError):
        return None
    return getattr(module, f"__{name}__", value) if name.endswith("hook") else value


def _is_documented(value: Any) -> bool:
    """Tell whether an object is one to document: not a module, not a plain value.

    What a host program put in place of a library function (a test runner does) is not either.
    """
    home = getattr(value, "__module__", None)
    if isinstance(home, str) and home.split(".")[0] not in sys.stdlib_module_names:
        return False
    if isinstance(value, ModuleType) or value is None:
        return False
    if inspect.isclass(value) or inspect.isroutine(value):
        return True
    doc = getattr(value, "__doc__", None)
    return isinstance(doc, str) and doc != type(value).__doc__


def _is_defined_in(value: Any, module_name: str, private_too: bool) -> bool:
    """Tell whether a module or a part of it defines an object; it may only have imported it.

    ``private_too`` counts what private modules define (``_functools``) as the module's own, which
    is right only where no ``__all__`` says what the module took over from them.
    """
    home = getattr(value, "__module__", None)
    if not isinstance(home, str):
        return private_too
    inside = home == module_name or home.startswith(f"{module_name}.")
    return inside or (private_too and home.startswith("_"))


def _is_at_home_elsewhere(value: Any, module_name: str, modules: dict[str, ModuleType]) -> bool:
    """Tell whether another public module, not below this one, is the object's real home."""
    home = getattr(value, "__module__", None)
    if not isinstance(home, str) or f"{home}.".startswith(f"{module_name}."):
        return False
    if module_name == "builtins":
        return False
    name = getattr(value, "__name__", "")
    return home in modules and vars(modules[home]).get(name) is value


def _all_methods(classes: list[_Named]) -> Iterator[_Named]:
    """Yield the public methods and properties of the classes, each under the class owning it."""
    public = {id(item.value) for item in classes}
    for item in classes:
        bases = [base for base in item.value.__mro__[1:] if id(base) in public]
        for name, value in _attributes(item.value).items():
            inherited = any(_attributes(base).get(name) is value for base in bases)
            if not inherited and _is_method(value):
                yield _Named(f"{item.name}.{name}", value)


def _attributes(cls: type) -> dict[str, Any]:
    """Return the public attributes of a class, unbound, private base classes included."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update((k, v) for k, v in vars(base).items() if not k.startswith("_"))
    return dict(sorted(found.items()))


def _is_method(value: Any) -> bool:
    """Tell whether a class attribute is a method or a documented property."""
    if isinstance(value, classmethod | staticmethod | property):
        return True
    return inspect.isroutine(value) or inspect.isgetsetdescriptor(value)
