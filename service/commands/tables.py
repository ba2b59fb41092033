"""Printing tables on the command line."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Print a table, as wide as the terminal or, into a file or pipe, as Markdown and as wide as it needs."""
    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(width=1000, markup=False)
        table.box = box.MARKDOWN
    console.print(table)
