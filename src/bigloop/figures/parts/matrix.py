"""Matrices of text: how the numbers of a column are written, how wide text is, which columns fit side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bigloop.figures.parts import style

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LARGE = 1e4  # a number of this size is written with an exponent of its own


@dataclass(frozen=True)
class Form:
    """How the numbers of a column are written: in units of 10^exponent, with so many decimals."""

    decimals: int = 2
    exponent: int = 0

    def text(self, value: float, sign: str = "") -> str:
        """A number; `sign` "+" writes that of a positive one, too, and of one that is rounded to 0."""
        scaled = value / 10.0**self.exponent
        if not sign:
            scaled = round(scaled, self.decimals)
        shape = ".0e" if LARGE <= abs(scaled) < math.inf else f".{self.decimals}f"
        return f"{scaled + 0.0:{sign}{shape}}".replace("-", "−")

    @property
    def unit(self) -> str:
        return f"10{str(self.exponent).translate(SUPERSCRIPT)}" if self.exponent else ""


def form_of(values: Iterable[float], errors: Iterable[float], fewer: int = 0) -> Form:
    """As many decimals, three at most, as give the errors two digits up to 35 and one from there; `fewer` than that.

    Units of 10³ and the like where values are very small or large.
    """
    sizes, spreads = _positive(values), _positive(errors)
    size = float(np.median(sizes)) if sizes else 1.0
    exponent = 0 if 0.01 <= size < LARGE else 3 * math.floor(math.log10(size) / 3)
    spread = (float(np.median(spreads)) if spreads else size / 10) / 10.0**exponent
    return Form(min(3, max(0, math.ceil(math.log10(3.5 / spread)) - fewer)), exponent)


def _positive(numbers: Iterable[float]) -> list[float]:
    return [size for number in numbers if 0 < (size := abs(number)) < math.inf]


def inches(text: str, bold: bool = False) -> float:
    """Width of a line of text in the smallest size."""
    return sum(_advance(character, bold) for character in text)


@cache
def _advance(character: str, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    named = FontProperties(family=style.RC["font.family"], weight="bold" if bold else "normal")
    font = get_font(findfont(named))
    font.set_size(style.SMALL, 72)
    return font.load_char(ord(character)).linearHoriAdvance / 65536 / 72  # of a 16.16 fixed-point number


def bands(blocks: Sequence[tuple[str, Sequence[str]]], most: int) -> list[list[tuple[str, list[str]]]]:
    """Blocks of columns, (name, columns) each, in bands of at most `most` columns below each other.

    A block is broken only where it alone has more.
    """
    found: list[list[tuple[str, list[str]]]] = []
    for name, columns in blocks:
        for start in range(0, len(columns), most):
            part = list(columns[start : start + most])
            if not found or sum(len(there) for _, there in found[-1]) + len(part) > most:
                found.append([])
            found[-1].append((name, part))
    return found


def fitted(text: str, width: float, most: int = 99) -> str:
    """`text` in lines of so many inches, broken between words; with … for what `most` lines don't hold."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and inches(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    lines = [line if inches(line) <= width else _shortened(line, width) for line in lines]
    if len(lines) > most:
        lines = [*lines[: most - 1], _shortened(lines[most - 1], width)]
    return "\n".join(lines)


def _shortened(line: str, width: float) -> str:
    """As much of a line as leaves room for an ellipsis."""
    while line and inches(f"{line}…") > width:
        line = line[:-1]
    return f"{line.rstrip(' ,;(')}…"
