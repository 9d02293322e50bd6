"""The error tree. Every error a user can cause names the offending key and value.

``InputError`` and its children mean that something given to AutoRAG is wrong (the command line
exits with 2); every other ``AutoragError`` means that work failed (exit 1).
"""

from __future__ import annotations

from typing import Any


class AutoragError(Exception):
    """Base of all errors raised on purpose."""


class InputError(AutoragError):
    """Something given is wrong.

    Attributes:
        key: the name of the offending thing (a knob, a path with a line number, a metric).
        value: its offending value.
    """

    def __init__(self, message: str, *, key: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.key = key
        self.value = value


class ConfigError(InputError):
    """A configuration that is not in the space: unknown, inactive or out-of-domain knob."""


class ObjectiveError(InputError):
    """An objective that cannot be parsed or names an unknown metric."""


class DocumentsError(InputError):
    """Documents that cannot be read."""


class QueriesError(InputError):
    """Queries that cannot be read, or whose gold does not exist."""


class MissingModelError(InputError):
    """A model package that is not installed."""


class AddressError(InputError):
    """A URL that must not be called."""


class PayloadError(InputError):
    """A request whose body cannot be read."""


class PayloadTypeError(PayloadError):
    """A body of a type or encoding that is not spoken here."""


class PayloadTooLargeError(PayloadError):
    """A body above the limits."""


class ModelError(InputError):
    """A file that is no model of ours, is damaged, or was made for another schema."""


class MeasurementError(AutoragError):
    """A configuration that could not be measured."""


class MeasurementCancelled(MeasurementError):
    """A measurement stopped on purpose: deadline passed or the user asked."""


class UnreachableError(MeasurementError):
    """A server that could not be reached, or hung up before it answered."""


class WorkCancelled(AutoragError):
    """Work that somebody stopped. What it was doing is no result, not even a failure."""


class StoreError(AutoragError):
    """What is remembered cannot be read or written."""


class BusyError(AutoragError):
    """Too much is waiting; the same can be tried again later."""


class NotFoundError(InputError):
    """Something named that is not there."""


class ConflictError(InputError):
    """Something that does not go together with how things are."""


class TooManyError(BusyError):
    """More at once, or more often, than one may ask for."""


class ReusedKeyError(InputError):
    """An idempotency key that was used for another request."""


class UnauthenticatedError(AutoragError):
    """No key, or none that is let in."""


class ForbiddenError(AutoragError):
    """A key that does not open this."""


class UnavailableError(UnreachableError):
    """A server that was reached and answered that it cannot do its work now.

    Attributes:
        retry_after_s: after how many seconds it wants to be asked again, None if it did not say.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
