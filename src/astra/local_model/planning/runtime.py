"""The planner on the robot: ONNX Runtime and numpy; torch is never imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import from_mapping
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, Float32Array, FloatArray
from astra.local_model.planning.config import PlannerConfig, Solver
from astra.local_model.planning.solvers import draw, drivable, noises, poses_of

DESCRIPTION_FILE, READ_FILE, REFINE_FILE = "planner.json", "read.onnx", "refine.onnx"
FORMAT_VERSION = 1


class TrajectorySampler:
    """An exported planner of any head.

    Args:
        folder: as `training.export_planner` writes it.
        threads: of ONNX Runtime.

    Raises:
        BadInputError: the folder is not there, damaged or of another version.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        path = folder / DESCRIPTION_FILE
        try:
            told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInputError(f"{folder} holds no exported planner: {error}") from error
        if told.get("format_version") != FORMAT_VERSION:
            raise BadInputError(f"{path} is of format {told.get('format_version')}, not {FORMAT_VERSION}")
        self.config = from_mapping(PlannerConfig, told["planner"], str(path))
        self._read, self._refine = (_session(folder / name, threads) for name in (READ_FILE, REFINE_FILE))

    def sample(
        self,
        maps: Float32Array,
        velocity: FloatArray,
        goal: FloatArray,
        count: int,
        rng: np.random.Generator,
        *,
        steps: int | None = None,
        solver: Solver | None = None,
        spread: float = 1.0,
    ) -> FloatArray:
        """Trajectories (count, T, 3): x, y, yaw in base_link, one every `trajectory.step_s`.

        Args:
            maps: (M + 1, Y, X), `planning.maps`.
            velocity: (H, 2) m/s, rad/s, newest first.
            goal: (4,) x, y, yaw in base_link, and 1 if the heading counts.
            count: how many; one batch.
            rng: of the noise.
            steps: of the solver (default: the configuration's).
            solver: likewise.
            spread: of the noise; above 1 explores more.
        """
        speeds, there = np.asarray(velocity, np.float32), np.asarray(goal, np.float32)
        tokens, fine = self._read.run(None, {"maps": maps[None], "velocity": speeds[None], "goal": there[None]})
        scene = {"tokens": tokens, "maps": maps[None], "fine": fine, "goal": there[None]}

        def refine(x: AnyArray, t: AnyArray) -> AnyArray:
            out: AnyArray = self._refine.run(None, {"x": x, "t": t, **scene})[0]
            return out

        noise = noises(rng, count, self.config.trajectory, spread)
        return poses_of(drivable(draw(refine, self.config, noise, steps, solver), self.config.trajectory), self.config.trajectory)


def _session(path: Path, threads: int) -> Any:
    from onnxruntime import InferenceSession, SessionOptions

    if not path.is_file():
        raise BadInputError(f"{path} is missing")
    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
