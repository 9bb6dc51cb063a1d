"""What `import llamad` offers, and that nothing of it is missing or undocumented."""

from __future__ import annotations

import inspect

import llamad
import pytest
from llamad import errors

SERVER_ONLY = {
    "BatchFileError",
    "LoadFailedError",
    "MemoryBudgetError",
    "ModelBusyError",
    "ModelLoadingError",
    "SettingsError",
    "UnknownModelError",
}


def test_names_are_sorted_and_unique() -> None:
    assert llamad.__all__ == sorted(set(llamad.__all__))


@pytest.mark.parametrize("name", llamad.__all__)
def test_every_name_exists_and_is_documented(name: str) -> None:
    thing = getattr(llamad, name)
    if not inspect.isclass(thing):
        return  # an alias of a type says all by its values
    assert vars(thing)["__doc__"].strip()
    for member, value in vars(thing).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert value.__doc__, f"{name}.{member}"


def test_every_public_import_is_declared() -> None:
    public = {
        name
        for name, thing in vars(llamad).items()
        if not name.startswith("_") and inspect.isclass(thing) and thing.__module__.startswith("llamad.")
    }
    assert public <= set(llamad.__all__)


def test_every_exception_of_the_library_is_exported() -> None:
    raised = {name for name, thing in vars(errors).items() if inspect.isclass(thing)}
    assert raised - SERVER_ONLY == raised & set(llamad.__all__)
    assert raised >= SERVER_ONLY
