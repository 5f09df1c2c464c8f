"""One order for every relation, so that the order it came in changes nothing.

Attributes are sorted by name and tuples by content before anything is computed, and answers are mapped
back. What is computed is then the same, bit for bit, for every permutation of rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from model.tuples import Cell, FunctionalDependency, PatternRule, Relation, Rule


@dataclass(frozen=True)
class Canonical:
    """A relation in canonical order; `tuple_ids[i]` and `attributes[i]` say where its i-th came from."""

    relation: Relation
    tuple_ids: tuple[int, ...]
    attributes: tuple[int, ...]

    @classmethod
    def of(cls, relation: Relation) -> Canonical:
        """Sort attributes by name and tuples by their values; missing sorts as empty.

        Attributes of one name are told apart by their values beside those of the attributes with other names.
        """
        names = relation.attributes
        single = sorted((a for a, name in enumerate(names) if names.count(name) == 1), key=names.__getitem__)

        def attribute_key(attribute: int) -> tuple[str, list[list[str]]]:
            if names.count(names[attribute]) == 1:
                return names[attribute], []
            beside = [*single, attribute]
            return names[attribute], sorted([values[a] or "" for a in beside] for values in relation.tuples)

        attributes = sorted(range(len(names)), key=attribute_key)
        ordered = [tuple(values[attribute] for attribute in attributes) for values in relation.tuples]
        tuple_ids = sorted(range(len(ordered)), key=lambda row: [value or "" for value in ordered[row]])
        canonical = Relation(
            tuple(names[attribute] for attribute in attributes),
            tuple(ordered[tuple_id] for tuple_id in tuple_ids),
            relation.name,
        )
        return cls(canonical, tuple(tuple_ids), tuple(attributes))

    def original(self, cell: Cell) -> Cell:
        """Where a cell of the canonical relation stands in the relation that came."""
        return Cell(self.tuple_ids[cell.tuple_id], self.attributes[cell.attribute])

    def place(self, cell: Cell) -> Cell:
        """Where a cell of the relation that came stands in the canonical relation."""
        return Cell(self._tuple_place[cell.tuple_id], self._attribute_place[cell.attribute])

    @cached_property
    def _tuple_place(self) -> dict[int, int]:
        return {old: new for new, old in enumerate(self.tuple_ids)}

    @cached_property
    def _attribute_place(self) -> dict[int, int]:
        return {old: new for new, old in enumerate(self.attributes)}

    def rule(self, rule: Rule) -> Rule:
        """A rule about the relation that came, as one about the canonical relation."""
        place = self._attribute_place
        if isinstance(rule, FunctionalDependency):
            return FunctionalDependency(tuple(sorted(place[a] for a in rule.determinants)), place[rule.dependent])
        if isinstance(rule, PatternRule):
            return PatternRule(place[rule.attribute], rule.regex)
        return type(rule)(place[rule.attribute], rule.values)
