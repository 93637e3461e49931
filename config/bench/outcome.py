"""What a bench found: figures beside the machine's own floor or a peer, and whether bars hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. With a peer, the ratio is value / peer_value."""

    key: str
    label: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None


@dataclass(frozen=True, slots=True)
class Bar:
    """What one figure, or its ratio, has to reach."""

    figure: Figure
    bar: float
    of_ratio: bool = False
    at_most: bool = False

    @property
    def value(self) -> float:
        return (self.figure.ratio or 0.0) if self.of_ratio else self.figure.value

    @property
    def holds(self) -> bool:
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        unit = " x" if self.of_ratio else ""
        return f"{sign} {_number(self.bar)}{unit}: {'holds' if self.holds else 'MISSED'}"


@dataclass(slots=True)
class Outcome:
    """All that a bench says. `notes` are whole sentences under the table."""

    bench: str
    database: str
    figures: list[Figure] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return all(bar.holds for bar in self.bars)

    def as_json(self) -> str:
        """The last line of `bench --json`."""
        answer: dict[str, Any] = {
            "bench": self.bench,
            "database": self.database,
            "figures": {figure.key: round(figure.value, 4) for figure in self.figures},
            "bars": {
                bar.figure.key: {
                    "value": round(bar.value, 4),
                    "bar": bar.bar,
                    "holds": bar.holds,
                }
                for bar in self.bars
            },
        }
        return json.dumps(answer)

    def print(self, console: Console) -> None:
        """The table that a person reads."""
        table = Table(title=f"bench {self.bench} ({self.database})", title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_column("beside")
        table.add_column("ratio", justify="right")
        table.add_column("bar")
        for figure in self.figures:
            bars = ", ".join(str(bar) for bar in self.bars if bar.figure is figure)
            table.add_row(
                figure.label,
                f"{_number(figure.value)} {figure.unit}",
                f"{figure.peer}: {_number(figure.peer_value)}" if figure.peer_value else "",
                f"{figure.ratio:.2f}" if figure.ratio is not None else "",
                bars,
            )
        console.print(table)
        for note in self.notes:
            console.print(note)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
