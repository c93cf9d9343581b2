"""What a step's values were from one step to the next, in a table that stays small.

    summaries = Summaries(525_000, device)
    summaries.add({"loss": loss, "gradient_norm_critic": norm})     # within a step, on the device
    summaries.upto(done)                                            # between two steps
    summaries.table()                                               # at most 500 rows, whatever the steps

Every value of every step counts. Where they are added up they stay on the device, in the same place, so that a step
that does so can be recorded; they are read once a row.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor

ROWS = 500  # of a table, at most


class Summaries:
    """Mean, least and greatest of each of a step's values, over as many steps a row as make ROWS of `steps` at most."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self.every, self.device = -(-steps // ROWS), device
        self.ends: list[int] = []  # the step that is a row's last
        self.rows: list[Tensor] = []  # of each row, float64 (names, 3): mean, least, greatest
        self.sums: dict[str, Tensor] = {}  # since the last row, shape () each
        self.least: dict[str, Tensor] = {}
        self.most: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Take in the values of a step, shape () each, always under the same names."""
        for name, value in values.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros_like(value, dtype=torch.float64)
                self.least[name] = torch.full_like(value, torch.inf)
                self.most[name] = torch.full_like(value, -torch.inf)
            self.sums[name] += value
            torch.minimum(self.least[name], value, out=self.least[name])
            torch.maximum(self.most[name], value, out=self.most[name])

    def upto(self, done: int, *, end: bool = False) -> None:
        """Close a row where its steps are done, or, at the end of a training, whatever steps there are."""
        begun = self.ends[-1] if self.ends else 0
        if done - begun < (1 if end else self.every):
            return
        self.ends.append(done)
        parts = [
            torch.stack([total / (done - begun), self.least[name].double(), self.most[name].double()])
            for name, total in self.sums.items()
        ]
        self.rows.append(torch.stack(parts).cpu())
        for name in self.sums:
            self.sums[name].zero_()
            self.least[name].fill_(torch.inf)
            self.most[name].fill_(-torch.inf)

    def table(self) -> pd.DataFrame:
        """A row each: `step`, its last; of each value its mean under its own name, {name}_least and {name}_most."""
        table: dict[str, Any] = {"step": self.ends}
        for place, name in enumerate(self.sums):
            for column, words in enumerate(("", "_least", "_most")):
                numbers = [float(row[place, column]) for row in self.rows]
                table[name + words] = pd.Series(numbers, dtype="float32")  # as exact as they were
        return pd.DataFrame(table)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs, but for the number of steps."""
        rows = torch.stack(self.rows) if self.rows else torch.zeros(0, len(self.sums), 3, dtype=torch.float64)
        return {"ends": self.ends, "rows": rows, "sums": self.sums, "least": self.least, "most": self.most}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ends, self.rows = list(state["ends"]), list(state["rows"])
        self.sums, self.least, self.most = (
            {name: value.to(self.device) for name, value in state[key].items()}
            for key in ("sums", "least", "most")
        )
