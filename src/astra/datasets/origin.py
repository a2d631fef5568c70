"""Where a simulated drive comes from; kept in the bag's metadata (`custom_data`), where other tools ignore it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from astra.core.errors import BadInputError

PREFIX = "astra.origin."


@dataclass(frozen=True, slots=True)
class DriveOrigin:
    """A simulated drive's world and seeds.

    `world` is the world's folder, empty in drives without truth; `split` is train, validate or test, by the world's seed; `driver` is tour or expert.
    """

    world: str
    kind: str
    world_seed: int
    split: str
    robot: str
    robot_radius_m: float
    seed: int
    driver: str

    def texts(self) -> dict[str, str]:
        """Key → text, for the bag's metadata."""
        return {PREFIX + key: str(value) for key, value in asdict(self).items()}

    @staticmethod
    def from_texts(texts: Mapping[str, str], source: str) -> DriveOrigin | None:
        """The origin in a bag's metadata, None if it says nothing of one.

        Raises:
            BadInputError: it is there, but damaged.
        """
        found = {key.removeprefix(PREFIX): value for key, value in texts.items() if key.startswith(PREFIX)}
        if not found:
            return None
        try:
            return DriveOrigin(
                found["world"], found["kind"], int(found["world_seed"]), found["split"], found["robot"], float(found["robot_radius_m"]), int(found["seed"]),
                found["driver"],
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise BadInputError(f"{source}: damaged origin in the bag's metadata: {type(error).__name__} {error}") from error
