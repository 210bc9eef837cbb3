"""What a renderable of rich looks like."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console


def shown(renderable: Any, width: int = 100, color: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    console.print(renderable, crop=False)  # as the command line does, which cuts nothing off
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def words(text: str) -> set[str]:
    return set(text.split())
