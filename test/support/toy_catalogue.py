"""A catalogue of plain sizes for tests of plans: nothing is drawn, only placed."""

from __future__ import annotations

import numpy as np

from astra.sim.worlds.plan import CATEGORIES, Model

# depth, width, height of the usual model [m]
USUAL: dict[str, tuple[float, float, float]] = {
    "bed": (2.05, 1.6, 0.9), "child_bed": (1.7, 0.85, 0.8), "sofa": (0.9, 2.0, 0.8), "armchair": (0.85, 0.85, 0.9), "chair": (0.5, 0.46, 0.9),
    "office_chair": (0.6, 0.6, 1.0), "stool": (0.4, 0.4, 0.7), "bench": (0.4, 1.2, 0.45), "table": (0.9, 1.6, 0.75), "low_table": (0.6, 1.0, 0.4),
    "desk": (0.75, 1.5, 0.75), "bedside_table": (0.4, 0.45, 0.55), "workbench": (0.7, 1.6, 0.9), "shelf": (0.4, 1.0, 1.9), "bookcase": (0.35, 0.9, 2.0),
    "cabinet": (0.45, 1.0, 0.8), "wardrobe": (0.6, 1.5, 2.1), "chest_of_drawers": (0.45, 0.9, 0.85), "shoe_rack": (0.3, 0.8, 0.9),
    "locker": (0.5, 0.8, 1.8), "filing_cabinet": (0.55, 0.45, 1.2), "counter": (0.6, 0.9, 0.9), "fridge": (0.65, 0.7, 1.8), "stove": (0.6, 0.6, 0.9),
    "sink": (0.6, 0.9, 1.0), "dishwasher": (0.6, 0.6, 0.85), "toilet": (0.65, 0.4, 0.8), "bathtub": (0.75, 1.7, 0.6), "shower": (0.9, 0.9, 2.0),
    "washing_machine": (0.6, 0.6, 0.85), "washbasin": (0.5, 0.6, 0.9), "water_dispenser": (0.35, 0.35, 1.2), "tv": (0.2, 1.1, 0.7),
    "lamp": (0.4, 0.4, 1.6), "plant": (0.5, 0.5, 1.2), "piano": (0.65, 1.5, 1.2), "copier": (0.7, 1.0, 1.1), "whiteboard": (0.5, 1.6, 1.8),
    "vending_machine": (0.85, 0.95, 1.85), "server_rack": (0.9, 0.6, 2.0), "reception_desk": (0.8, 2.0, 1.1), "toy": (0.4, 0.5, 0.5),
    "bicycle": (0.6, 1.7, 1.0), "first_aid_box": (0.2, 0.4, 1.4), "rack": (1.0, 2.7, 2.2), "pallet": (0.8, 1.2, 0.15), "boxes": (0.6, 0.6, 0.9),
    "crate": (0.6, 0.8, 0.6), "drum": (0.6, 0.6, 0.9), "charging_station": (0.5, 0.6, 1.2), "forklift": (2.4, 1.1, 2.1), "packing_table": (0.8, 1.8, 0.9),
    "roll_cage": (0.7, 0.8, 1.7),
}  # fmt: skip


class ToyCatalogue:
    """Three sizes of each category: nine tenths, one, and six fifths of the usual."""

    def pick(self, category: str, rng: np.random.Generator, within: tuple[float, float, float] = (9.0, 9.0, 9.0)) -> Model | None:
        """One that fits, or None."""
        assert category in CATEGORIES, category
        sizes = [tuple(scale * v for v in USUAL[category]) for scale in (0.9, 1.0, 1.2)]
        fitting = [(k, size) for k, size in enumerate(sizes) if all(a <= b for a, b in zip(size, within))]
        if not fitting:
            return None
        k, (depth, width, height) = fitting[int(rng.integers(len(fitting)))]
        return Model(f"{category}_{k}", category, (depth, width, height))
