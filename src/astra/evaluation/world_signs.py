"""Can every sign of a world be read on its tour, by the same OCR that builds maps, with the robot's own cameras?"""

from __future__ import annotations

import difflib
import math

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.geometry import Pose2
from astra.perception.text import TextReader, normalise_text
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World
from astra.sim.worlds.truth import Instance

LOOKS, APART_M = 16, 0.15  # places from which a sign is looked at, and how far apart they are
ALIKE = 0.85  # of the letters; digits must all agree


def unread_signs(world: World, reader: TextReader, robot: RobotConfig | None = None) -> tuple[tuple[str, ...], int]:
    """Signs that no view of the tour lets OCR read, and how many signs there are.

    Raises:
        BadInputError: a world without truth.
    """
    truth = world.truth
    if truth is None:
        raise BadInputError(f"{world.scene} has no truth")
    texts = {mark.id: mark.text for mark in truth.landmarks if mark.text}
    boards = {thing.id: thing for thing in truth.instances if thing.id in texts}
    simulation = Simulation(world, robot or RobotConfig(), 0, movers=False)
    try:
        left = tuple(text for number, text in texts.items() if not _is_read(simulation, reader, truth.tour, boards[number], text))
    finally:
        simulation.close()
    return left, len(texts)


def _is_read(simulation: Simulation, reader: TextReader, tour: FloatArray, board: Instance, text: str) -> bool:
    """Look from the best places of the tour, nearest and most frontal first, with the camera that looks there."""
    for place in _looks(tour, board):
        ahead = tour[min(place + 1, len(tour) - 1)] - tour[max(place - 1, 0)]
        pose = Pose2(float(tour[place, 0]), float(tour[place, 1]), math.atan2(ahead[1], ahead[0]))
        simulation.place(pose)
        for frame in simulation.render():
            bearing = math.atan2(board.centre[1] - pose.y, board.centre[0] - pose.x) - pose.yaw
            axis = simulation.rig[frame.camera].base_from_cam.rotation[:, 2]
            is_ahead = abs(math.remainder(bearing - math.atan2(axis[1], axis[0]), 2.0 * math.pi)) < math.radians(45.0)
            if is_ahead and any(reads_as(found.text, text) for found in reader.read(frame.rgb)):
                return True
    return False


def _looks(tour: FloatArray, board: Instance) -> list[int]:
    offset = tour - np.array(board.centre[:2])
    distance = np.linalg.norm(offset, axis=1)
    facing = np.array([math.cos(board.yaw_rad), math.sin(board.yaw_rad)])
    frontal = (offset @ facing) / np.maximum(distance, 1e-6)
    cost = np.where((frontal > 0.5) & (distance < 4.0), np.abs(distance - 1.1) + 1.5 * (1.0 - frontal), np.inf)
    chosen: list[int] = []
    for k in np.argsort(cost):
        if len(chosen) == LOOKS or not np.isfinite(cost[k]):
            break
        if all(np.linalg.norm(tour[k] - tour[other]) >= APART_M for other in chosen):
            chosen.append(int(k))
    return chosen


def reads_as(found: str, text: str) -> bool:
    """Whether a reading is that of a text: all digits the same, nearly all letters."""
    a, b = (normalise_text(t).replace(" ", "") for t in (found, text))
    same_digits = [c for c in a if c.isdigit()] == [c for c in b if c.isdigit()]
    return same_digits and difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() >= ALIKE
