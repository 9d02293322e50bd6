"""Settings from the environment and from a file of TOML; what the environment says counts more.

The file is the one that ``AUTORAG_CONFIG`` names, else ``autorag.toml`` in the home folder when it
is there. Its keys are the names below without ``AUTORAG_``, in small letters; folders in it are
relative to its own.

=============================  ====================================================================
``AUTORAG_HOME``               where everything is kept (default ``~/.local/share/autorag``)
``AUTORAG_DB``                 database URL (default: SQLite in the home folder)
``AUTORAG_ADMIN_KEY``          the service's admin key (at least 24 characters)
``AUTORAG_ARTIFACTS_GB``       size limit of the artifact store (default 20)
``AUTORAG_DATA_DIR``           folder that the ``docs`` and ``queries`` paths of apps lie in
                               (default none: such paths are refused)
``AUTORAG_ALLOWED_NETWORKS``   networks (CIDR, with commas) that evaluators and webhooks may lie in
                               beside public addresses (default none)
``AUTORAG_WORKERS``            worker processes for jobs (default 1)
``AUTORAG_RATE_PER_S``         requests a second that a key may make (default 200; 0: no limit)
``AUTORAG_MOST_REQUESTS``      requests answered at once (default 64)
``AUTORAG_MOST_WAITING``       long polls at once (default 1000)
``AUTORAG_RETENTION_DAYS``     days that observations are kept (default 30)
``AUTORAG_ROLLUP_DAYS``        days that their hourly histograms are kept (default 400)
``AUTORAG_LOG_FORMAT``         ``text`` or ``json`` (default: ``text`` on a terminal)
``AUTORAG_LOG_LEVEL``          ``DEBUG``, ``INFO`` (default), ``WARNING`` or ``ERROR``
``AUTORAG_GENERATOR_URL``      an OpenAI-compatible server that generates answers, with
                               ``AUTORAG_GENERATOR_MODEL`` and ``AUTORAG_GENERATOR_KEY``; these
                               three from the environment alone
=============================  ====================================================================
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from autorag.errors import InputError

SHORTEST_KEY = 24
CONFIG_FILE = "autorag.toml"
SECRETS = frozenset({"admin_key", "db"})
"""Settings whose values are never shown."""

_FOLDERS = ("home", "data_dir")
_MOST_DAYS = 36_500


def _absolute(folder: Path) -> Path:
    try:
        return folder.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def _existing(folder: Path) -> Path:
    found = _absolute(folder)
    if not found.is_dir():
        raise ValueError("expected a folder that exists")
    return found.resolve()


def _key(key: str) -> str:
    if len(key) < SHORTEST_KEY or not key.isascii() or any(c.isspace() for c in key):
        raise ValueError(
            f"{len(key)} characters: expected {SHORTEST_KEY} or more, ASCII without spaces"
        )
    return key


def _networks(given: Any) -> Any:
    """Networks of a text with commas, or of a list of texts."""
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, list | tuple):
        raise ValueError("expected networks as in 10.0.0.0/8, with commas between them")
    return tuple(ip_network(str(text).strip()) for text in texts if str(text).strip())


def _upper(given: Any) -> Any:
    return given.upper() if isinstance(given, str) else given


def _log_format() -> Literal["text", "json"]:
    return "text" if sys.stderr is not None and sys.stderr.isatty() else "json"


Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks, list[str] | str)
]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
Days = Annotated[int, Field(ge=1, le=_MOST_DAYS)]


class Settings(BaseSettings):
    """What can be set. Made by :meth:`from_environment`; a constructor call reads nothing."""

    model_config = SettingsConfigDict(
        env_prefix="AUTORAG_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    home: Annotated[Path, AfterValidator(_absolute)] = Path("~/.local/share/autorag")
    db: str | None = Field(default=None, repr=False)
    admin_key: Annotated[str, AfterValidator(_key)] | None = Field(default=None, repr=False)
    artifacts_gb: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    data_dir: Annotated[Path, AfterValidator(_existing)] | None = None
    allowed_networks: Networks = ()
    workers: int = Field(default=1, ge=0, le=256)
    rate_per_s: float = Field(default=200.0, ge=0, allow_inf_nan=False)
    most_requests: int = Field(default=64, ge=1)
    most_waiting: int = Field(default=1000, ge=0)
    retention_days: Days = 30
    rollup_days: Days = 400
    log_format: Literal["text", "json"] = Field(default_factory=_log_format)
    log_level: Level = "INFO"

    @property
    def artifacts_bytes(self) -> int:
        return int(self.artifacts_gb * 1e9)

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def database(self) -> Path:
        """The file of the default database."""
        return self.home / "autorag.db"

    @property
    def database_url(self) -> str:
        from store.engine import sqlite_url

        return self.db or sqlite_url(self.database)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings.

        Raises:
            InputError: values that cannot be used, a line for each; key and value are the first's.
        """
        given = _Environment(cls, environment)()
        file = _file(environment)
        written = {} if file is None else _written(file)
        wrong = [] if file is None else _misplaced(file, written, environment)
        known = {name: value for name, value in written.items() if name in cls.model_fields}
        try:
            settings = cls(**{**known, **given})
        except ValidationError as error:
            wrong += [_invalid(e, file, e["loc"][0] in given) for e in error.errors()]
        if wrong:
            raise InputError("\n".join(map(str, wrong)), key=wrong[0].key, value=wrong[0].value)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def environment_name(setting: str) -> str:
    """The variable of a setting."""
    return f"AUTORAG_{setting.upper()}"


class _Environment(EnvSettingsSource):
    """Settings of the environment that is given; an empty one is as good as none."""

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.env_vars = {name.lower(): text for name, text in environment.items() if text}


def _file(environment: Mapping[str, str]) -> Path | None:
    """The file of settings, if there is one."""
    if named := environment.get("AUTORAG_CONFIG"):
        return Path(os.path.expanduser(named)).absolute()
    file = _home(environment) / CONFIG_FILE
    return file if file.is_file() else None


def _home(environment: Mapping[str, str]) -> Path:
    """The home folder of the environment; a file cannot move its own."""
    given = environment.get("AUTORAG_HOME") or Settings.model_fields["home"].default
    return Path(os.path.expanduser(given)).absolute()


def _written(file: Path) -> dict[str, Any]:
    """What the file says, its folders made absolute."""
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: {reason}", key="AUTORAG_CONFIG", value=str(file)) from error
    folders = {n: written[n] for n in _FOLDERS if isinstance(written.get(n), str)}
    return written | {n: file.parent / os.path.expanduser(text) for n, text in folders.items()}


def _misplaced(
    file: Path, written: Mapping[str, Any], environment: Mapping[str, str]
) -> list[InputError]:
    """What the file must not hold. Values are not shown: a mistyped name may hide a key."""
    wrong = [
        InputError(f"{name} in {file}: there is no such setting", key=name)
        for name in written
        if name not in Settings.model_fields
    ]
    if "home" in written and file == _home(environment) / CONFIG_FILE:
        wrong.append(InputError(f"home in {file}: a home cannot name another", key="home"))
    return wrong


def _invalid(error: ErrorDetails, file: Path | None, from_environment: bool) -> InputError:
    """A setting that cannot be used; a secret's value is not shown."""
    name = str(error["loc"][0])
    key = environment_name(name) if from_environment else name
    place = "" if from_environment or file is None else f" in {file}"
    reason = error["msg"].removeprefix("Value error, ")
    if name in SECRETS:
        return InputError(f"{key}{place}: {reason}", key=key)
    value = error["input"]
    return InputError(f"{key} = {str(value)!r}{place}: {reason}", key=key, value=value)
