"""The base class of all settings: frozen pydantic models whose errors are one line for the user.

A class of settings declares its fields, their bounds and their defaults; `Settings` makes the
messages: "forge.copies must be from 1 to 100, got 0".
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails

from data.errors import ConfigError
from data.io.reading import shown

WORDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a section of keys",
    type(None): "none",
}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


class SettingError(ConfigError):
    """One setting is unknown, ill-typed or out of range.

    Args:
        key: the setting's full name, "head.units".
        message: one line that begins with the key.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, str(self))


class Settings(BaseModel):
    """Base class: frozen, unknown keys refused, no conversion but of integers to float.

    A field validator raises ValueError("must be even"): the key goes before it, the value after it.
    A model validator's message, of settings that do not go together, is shown as it is.

    Raises:
        SettingError: on construction, where a value does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    # Of params.yaml, the first part of each key in a message; "" for the top level.
    section: ClassVar[str] = ""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _setting_error(type(self), values, error) from error

    @field_validator("*")
    @classmethod
    def _fits_64_bits(cls, value: Any) -> Any:
        """NumPy and TensorFlow count in 64 bits; a longer integer would fail deep inside them."""
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError("must be an integer of at most 64 bits")
        return value

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed, checked like a new one."""
        return type(self)(**dict(self) | changes)


def _setting_error(
    kind: type[Settings], values: Mapping[str, Any], error: ValidationError
) -> SettingError:
    """The first of pydantic's faults as one line; an unknown key before all others."""
    faults = error.errors(include_url=False)
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    # Each alternative of a union has its own fault; the deepest is of the one that was meant.
    same = [one for one in faults if one["loc"][:1] == fault["loc"][:1]]
    fault = max(same, key=lambda one: len(_keys(one, values)))
    keys = _keys(fault, values)
    key = ".".join(filter(None, (kind.section, *keys)))
    message = str(fault.get("ctx", {}).get("error", fault["msg"]))
    if not keys:
        return SettingError(key, message)
    if fault["type"] == "extra_forbidden":
        return SettingError(key, _unknown_key(key, keys[0], list(kind.model_fields)))
    field, value = kind.model_fields[keys[0]], fault["input"]
    hint = field.annotation if len(keys) == 1 else _value_type(field.annotation)
    if limits := _limits(field.metadata, fault):
        message = f"must be {limits}"
        value = float(value) if hint is float else value
    elif fault["type"] != "value_error":
        message = f"must be {describe_type(hint)}"
    return SettingError(key, f"{key} {message}, got {shown(value)}")


def _keys(fault: ErrorDetails, values: Mapping[str, Any]) -> list[str]:
    """The keys that lead to the fault, without the alternatives of unions that `loc` names."""
    keys: list[str] = []
    at: Any = values
    for part in fault["loc"]:
        if not keys or (isinstance(at, Mapping) and part in at):
            keys.append(str(part))
            at = at.get(part) if isinstance(at, Mapping) else None
    return keys


def _unknown_key(key: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    advice = (
        f"did you mean {key.removesuffix(name)}{near[0]}?" if near else f"known: {', '.join(known)}"
    )
    return f"unknown key {key}; {advice}"


def _limits(metadata: Iterable[object], fault: ErrorDetails) -> str:
    """The field's bounds in words where one of them is broken, else ""."""
    broken = fault.get("ctx", {})
    if not broken.keys() & LIMITS.keys():
        return ""
    bounds = {
        name: getattr(one, name) for name in LIMITS for one in metadata if hasattr(one, name)
    } or broken
    if bounds.keys() == {"ge", "le"}:
        return f"from {bounds['ge']} to {bounds['le']}"
    return " and ".join(f"{LIMITS[name]} {bound}" for name, bound in bounds.items())


def describe_type(hint: Any) -> str:
    """What a value must be, in words: "an integer or a text", "float16 or float32"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe_type(one) for one in arguments)
    if origin is typing.Annotated:
        return describe_type(arguments[0])
    return WORDS.get(origin or hint, "a section of keys")


def _value_type(hint: Any) -> Any:
    """The type of a mapping's values, of whichever alternative of a union is a mapping."""
    for one in (hint, *typing.get_args(hint)):
        if typing.get_origin(one) is dict:
            return typing.get_args(one)[1]
    return hint
