"""Option tables: frozen dataclasses that carry their defaults, limits and documentation.

An algorithm declares its options as an ``Options`` subclass beside its code. The configuration schema is
assembled from these classes, so a default or a limit is written once and holds for the library and the TOML file.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, cast, runtime_checkable

from icudl.errors import ConfigError, suggestion


def option(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    identity: bool = True,
    secret: bool = False,
    path: bool = False,
    late: bool = False,
) -> Any:
    """Declare one option of an ``Options`` class.

    Args:
        default: The value unless another is set.
        doc: One or two sentences; units included. Becomes the comment in ``config.toml`` and the docs.
        low: Smallest legal number (inclusive).
        high: Largest legal number (inclusive).
        choices: The legal strings, or the legal members of a tuple of strings.
        identity: False for options that cannot change a result (device, workers): they stay out of artifact ids.
        secret: True for a connection URL or string: its password is masked wherever options are printed or recorded.
        path: True for the path of a file or folder: in a configuration file, a relative path starts at that file.
        late: True for an option that came after results had been made: at its default it stays out of ids, so that
            those results still hold.
    """
    metadata = {
        "doc": doc,
        "low": low,
        "high": high,
        "choices": choices,
        "identity": identity,
        "secret": secret,
        "path": path,
        "late": late,
    }
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all option tables; checks limits and choices when an instance is made.

    Raises:
        ConfigError: A value lies outside its limits or is not among its choices; names the dotted key.
    """

    table: ClassVar[str] = ""
    named: ClassVar[tuple[str, type[Options]] | None] = None
    """Option that holds tables with names of the user's own, and the class of each: ``[variables.NAME]``."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(f"{self.table}.{field.name}" if self.table else field.name, field, getattr(self, field.name))

    @classmethod
    def checked(cls, where: str, values: Mapping[str, Any]) -> Self:
        """Make the options of values that stand at ``where`` in a configuration (``"models.lstm"``).

        Raises:
            ConfigError: A value lies outside its limits or is not among its choices; the message names ``where``.
        """
        for field in dataclasses.fields(cls):
            if field.name in values:
                _check(f"{where}.{field.name}", field, values[field.name])
        return cls(**values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make options from the values of ``to_dict``, which JSON may have stored."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    def to_dict(self, *, identity_only: bool = False) -> dict[str, Any]:
        """Return the options as plain JSON-able values; with ``identity_only`` only those that can change a result."""
        return {
            field.name: masked(getattr(self, field.name))
            if field.metadata.get("secret")
            else plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if not identity_only or self._names_result(field)
        }

    def _names_result(self, field: dataclasses.Field[Any]) -> bool:
        at_default = field.metadata.get("late", False) and getattr(self, field.name) == field.default
        return bool(field.metadata.get("identity", True)) and not at_default


def types_of(options: type[Options]) -> Mapping[str, Any]:
    """Return the annotated types of a class of options by name; they are read from text once, which takes a while."""
    if options not in _TYPES:
        _TYPES[options] = typing.get_type_hints(options)
    return _TYPES[options]


_TYPES: dict[type[Options], Mapping[str, Any]] = {}


@runtime_checkable
class Fingerprinted(Protocol):
    """Options that name files whose content decides a result: their paths stay out of its id, their digest enters."""

    def fingerprint(self) -> str:
        """Return the digest of the files."""


def _check(key: str, field: dataclasses.Field[Any], value: object) -> None:
    """Check one value against what its option declares; ``key`` names it in messages."""
    low, high = field.metadata.get("low"), field.metadata.get("high")
    _check_plain(key, value)
    members = value if isinstance(value, tuple | list) else (value,)
    for member in members:
        is_number = isinstance(member, int | float) and not isinstance(member, bool)
        if is_number and ((low is not None and member < low) or (high is not None and member > high)):
            raise ConfigError(f"{key} = {member!r} is out of range: {_limits(low, high)}.")
        choices = field.metadata.get("choices")
        if choices is not None and member not in choices:
            raise ConfigError(
                f"{key} = {member!r} is not one of {', '.join(map(repr, choices))}." + suggestion(str(member), choices)
            )


def _check_plain(key: str, value: object) -> None:
    """Refuse values that a manifest cannot hold: dates, infinite numbers, text that is not UTF-8, at any depth."""
    if isinstance(value, Mapping):
        for name, item in cast("Mapping[object, object]", value).items():
            _check_plain(key, str(name))
            _check_plain(f"{key}.{name}", item)
    elif isinstance(value, tuple | list):
        for item in value:
            _check_plain(key, item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} = {value!r} is not a finite number. Give a finite number.")
    elif isinstance(value, str) and not value.isascii() and value.encode("utf-8", "ignore").decode() != value:
        raise ConfigError(
            f"{key} = {masked(repr(value))} is not UTF-8 text. Rename what it names, or write it in UTF-8."
        )
    elif not isinstance(value, str | int | float):
        raise ConfigError(f"{key} = {value!r} has the wrong type. Expected text, numbers, lists or tables.")


def _limits(low: float | None, high: float | None) -> str:
    if low is None:
        return f"expected at most {high:g}"
    if high is None:
        return f"expected at least {low:g}"
    return f"expected a number from {low:g} to {high:g}"


PASSWORDS: tuple[re.Pattern[str], ...] = (
    # Up to the last @ of the word: a password with an unescaped / or @ is the user's mistake, but still a password.
    # A path turns two slashes into one.
    re.compile(r"(?P<head>:/{1,2}[^/?#\s@]*?:)(?P<secret>\S*)(?=@)"),
    re.compile(
        r"(?P<head>(?:ssl)?password\s*=\s*)"
        r"(?P<secret>'(?:[^'\\]|\\.)*'|(?:\\.|&(?!\w+=)|[^\s&'\"])*)",
        re.IGNORECASE,
    ),
)
"""Where a connection URL (``scheme://user:secret@host``) or string (``password=secret``) holds a password."""

_WHOLE_URL = re.compile(r"(?P<head>\w[\w+.-]*:/{1,2}[^/?#\s@:]*:)(?P<secret>.*)(?=@)", re.DOTALL)


_SCHEME = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9+.-]+):/")


def scheme_of(place: str) -> str:
    """Return the scheme of an address in lower case (``"s3"`` of ``S3://bucket``), or "" for a folder.

    One slash counts too: no folder is meant by ``s3:/bucket``. A single letter is a drive.
    """
    found = _SCHEME.match(place)
    return found[1].lower() if found else ""


def masked(connection: str) -> str:
    """Return a connection URL or string with its passwords replaced by ``***``."""
    whole = _WHOLE_URL.match(connection)
    if whole:
        connection = whole["head"] + "***" + connection[whole.end() :]
    for pattern in PASSWORDS:
        connection = pattern.sub(lambda match: match["head"] + "***", connection)
    return connection


def holds_password(text: str) -> bool:
    """Tell whether a text holds a password that ``masked`` would hide; an empty password does not count."""
    return masked(text) not in {text, text.replace(":@", ":***@")}


def plain(value: object) -> Any:
    """Turn tuples and mappings into lists and dictionaries, recursively; leave scalars as they are."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value
