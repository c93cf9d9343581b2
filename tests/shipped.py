"""The configs that the project ships, and the folders of pictures that some of them count on."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "workflow" / "experiments").glob("*.yaml"))]
PICTURES = {"ffhq": 70_000}  # by the folder's name, beside which the workflow runs


def pictures_in(place: Path) -> None:
    """Put those folders there, full of empty files: planning reads names and sizes alone."""
    for folder, count in PICTURES.items():
        (place / folder).mkdir()
        for number in range(count):
            (place / folder / f"{number:05}.png").touch()
