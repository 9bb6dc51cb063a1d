"""oneOf: a value must satisfy one branch and no other, so the branches must be provably apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .shape import ALL_TYPES, Shape, type_of

if TYPE_CHECKING:
    from .document import Place
    from .expand import Expander

_MOST_BRANCHES = 256


def forced_names(keyword: Place, branches: list[list[Shape]], expander: Expander) -> list[tuple[str, ...]]:
    """For each branch, the members that must be written so that no value satisfies two branches.

    Two branches are apart if no type is common to both, if both list their values and none is common, if
    one requires a member that the other forbids, or if a member has other values in each. That last
    member, the discriminator, must then be there, whether the branches require it or not.

    Raises:
        ParameterError: two branches are not provably apart.
    """
    if len(branches) > _MOST_BRANCHES:
        keyword.refuse(f"must have at most {_MOST_BRANCHES} branches to be enforced")
    forced: list[dict[str, None]] = [{} for _ in branches]
    for right in range(len(branches)):
        for left in range(right):
            for one in branches[left]:
                for two in branches[right]:
                    name = _discriminator(one, two, expander)
                    if name is None:
                        keyword.at(right).refuse(
                            f"is not provably apart from branch {left}: give both a required member with "
                            "different const values, or use anyOf"
                        )
                    if name:
                        forced[left][name] = forced[right][name] = None
    return [tuple(names) for names in forced]


def _discriminator(one: Shape, two: Shape, expander: Expander) -> str | None:
    """The member that keeps two shapes apart, "" where they are apart anyway, None where they are not."""
    common = _types(one) & _types(two)
    if not common:
        return ""
    if one.values is not None and two.values is not None and not one.values.keys() & two.values.keys():
        return ""
    if common != {"object"}:
        return None
    if _requires_forbidden(one, two) or _requires_forbidden(two, one):
        return ""
    names = {name: None for rule in one.objects for name in rule.properties}
    for name in names:
        left, right = one.property_places(name), two.property_places(name)
        if left and right:
            left_values, right_values = expander.values(left), expander.values(right)
            if (
                left_values is not None
                and right_values is not None
                and not left_values.keys() & right_values.keys()
            ):
                return name
    return None


def _types(shape: Shape) -> frozenset[str]:
    types = shape.types if shape.types is not None else ALL_TYPES
    if shape.values is not None:
        types &= {type_of(value) for value, _ in shape.values.values()}
    return types


def _requires_forbidden(one: Shape, two: Shape) -> bool:
    return any(place.value is False for name in one.required for place in two.property_places(name))
