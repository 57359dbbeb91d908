"""The order of a table: the operator's choice first, then the screen's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from typing_extensions import override

from app.report.columns import Column
from screens.widgets.arrangement import By, Ordering
from screens.widgets.table_cursor import CursorTable

_BEFORE = "choose the column before"
_AFTER = "choose the next column"
_STATES = ("state", "status", "condition")


class SortableTable(CursorTable):
    """A table whose columns can be sorted by, with the keys of k9s."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                letter.upper(),
                f"sort('{what}')",
                f"sort by {what}; again: the other way round",
                show=False,
                key_display=f"shift-{letter}",
                id=f"table.sort_{what}",
            )
            for letter, what in (("n", "name"), ("a", "age"), ("s", "severity"), ("p", "namespace"))
        ),
        # Old tmux does not pass shifted arrows on; the braces are their twins.
        *(
            Binding(key, f"choose_column({step})", title, show=False, key_display=display, id=name)
            for key, step, title, display, name in (
                ("shift+left", -1, _BEFORE, "shift-←", "table.column_before"),
                ("left_curly_bracket", -1, _BEFORE, "{", "table.column_before_plain"),
                ("shift+right", 1, _AFTER, "shift-→", "table.column_after"),
                ("right_curly_bracket", 1, _AFTER, "}", "table.column_after_plain"),
            )
        ),
        Binding(
            "O",
            "sort_chosen",
            "sort by the chosen column",
            show=False,
            key_display="shift-o",
            id="table.sort_chosen",
        ),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        order: Sequence[str],
        header: bool,
        id: str | None,  # noqa: A002
    ) -> None:
        """In the order of these columns until the operator chooses another."""
        super().__init__(columns, header=header, id=id)
        self._order = tuple(map(By, order))

    def _arrange(self) -> None:
        """Order the rows anew, and draw them."""
        raise NotImplementedError

    def sort_by(self, *columns: str, descending: bool = False) -> None:
        """Order the rows by these columns, then by their keys, where the operator chose none."""
        self._order = tuple(By(column, descending) for column in columns)
        self._arrange()

    @property
    def sorting(self) -> By | None:
        """How the operator has sorted it; None: not at all."""
        return self._sort

    def action_sort(self, what: str) -> None:
        """Sort by the column that tells this."""
        column = self._column_for(what)
        if column is not None:
            self._sort_by(column, severity=what == "severity")

    def action_choose_column(self, step: int) -> None:
        """Move the choice to another column."""
        keys = [column.key for column, _ in self._drawn()]
        start = self._chosen or (self._sort.column if self._sort else "")
        if keys:
            place = keys.index(start) + step if start in keys else 0
            self._chosen = keys[place % len(keys)]
            self._refresh_header()

    def action_sort_chosen(self) -> None:
        """Sort by the chosen column, the other way round where it is sorted by that already."""
        if any(column.key == self._chosen for column in self._shown):
            self._sort_by(self._chosen)

    def _sort_by(self, column: str, *, severity: bool = False) -> None:
        again = self._sort is not None and (self._sort.column, self._sort.severity) == (
            column,
            severity,
        )
        # The worst is what is looked for first.
        descending = not self._sort.descending if self._sort and again else severity
        self._sort = By(column, descending, severity)
        self._lay_out_columns()
        self._arrange()

    def _column_for(self, what: str) -> str | None:
        keys = [column.key for column in self._columns]
        if what == "name":
            return keys[self._name_place] if keys else None
        wanted = _STATES if what == "severity" else (what,)
        return next((key for key in wanted if key in keys), None)

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What no column tells orders nothing."""
        if action == "sort":
            return self._column_for(str(parameters[0])) is not None
        return super().check_action(action, parameters)

    def _ordering(self) -> Ordering:
        """The operator's choice first."""
        terms = self._order if self._sort is None else (self._sort, *self._order)
        return Ordering(terms, [column.key for column in self._columns])
