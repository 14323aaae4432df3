"""Settings: frozen, strict, and a wrong value is one line that names its key."""

from __future__ import annotations

import pickle
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from data.io.settings import SettingError, Settings


class Head(Settings):
    section: ClassVar[str] = "head"

    kind: Literal["lstm", "gru"] = "lstm"
    units: Annotated[int, Field(ge=1, le=8192)] = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.6
    flip: bool = True
    unfreeze: int | str = 9
    weight: dict[str, float] | Literal["balanced"] | None = None
    width: int = 320

    @field_validator("width")
    @classmethod
    def _even(cls, width: int) -> int:
        if width % 2:
            raise ValueError("must be even")
        return width

    @model_validator(mode="after")
    def _together(self) -> Head:
        if self.kind == "gru" and self.width == 0:
            raise ValueError("head.kind gru needs a head.width")
        return self


class Params(Settings):
    seed: Annotated[int, Field(ge=0)] = 0
    head: Head = Field(default_factory=Head)


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"units": 0}, "units", "must be from 1 to 8192, got 0"),
        ({"units": "3"}, "units", "must be an integer, got '3'"),
        ({"units": True}, "units", "must be an integer, got True"),
        ({"units": 3.0}, "units", "must be an integer, got 3.0"),
        ({"dropout": 1}, "dropout", "must be at least 0 and below 1, got 1.0"),
        ({"dropout": "0.5"}, "dropout", "must be a number, got '0.5'"),
        ({"dropout": float("nan")}, "dropout", "must be a number, got nan"),
        ({"flip": 1}, "flip", "must be true or false, got 1"),
        ({"kind": "mean"}, "kind", "must be lstm or gru, got 'mean'"),
        ({"unfreeze": 1.5}, "unfreeze", "must be an integer or a text, got 1.5"),
        ({"weight": {"real": "x"}}, "weight.real", "must be a number, got 'x'"),
        ({"width": 3}, "width", "must be even, got 3"),
        (
            {"width": 2**63},
            "width",
            "must be an integer of at most 64 bits, got 9223372036854775808",
        ),
    ],
)
def test_a_wrong_value_is_one_line(values: dict[str, Any], key: str, message: str) -> None:
    for make in (lambda: Head(**values), lambda: Params(head=values)):
        with pytest.raises(SettingError) as caught:
            make()
        assert str(caught.value) == f"head.{key} {message}"
        assert caught.value.key == f"head.{key}"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_an_unknown_key_names_its_neighbour_or_all() -> None:
    with pytest.raises(SettingError, match=r"^unknown key head\.unit; did you mean head\.units\?"):
        Head(unit=3, units="x")
    with pytest.raises(SettingError, match=r"^unknown key zzz; known: seed, head$"):
        Params(zzz={})


def test_values_that_do_not_go_together_are_named() -> None:
    with pytest.raises(SettingError, match=r"^head\.kind gru needs"):
        Head(kind="gru", width=0)
    with pytest.raises(SettingError, match=r"^head must be a section of keys, got 3$"):
        Params(head=3)


def test_settings_are_frozen_and_a_changed_copy_is_checked() -> None:
    head = Head(dropout=0)
    assert head.replace(units=3) == Head(dropout=0.0, units=3)
    with pytest.raises(SettingError, match=r"head\.units"):
        head.replace(units=0)
    with pytest.raises(ValidationError):
        head.units = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(Params(head=head))) == Params(head={"dropout": 0})  # noqa: S301
