"""Qwen2.5-VL in this process, with a tiny checkpoint of random weights: the whole path runs, and even noise yields answers of the schema."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_qwen

from astra.core.errors import AstraError
from astra.geometry import Pose3
from astra.global_model.backends import prompts
from astra.global_model.backends.chat import ModelUnavailableError
from astra.global_model.backends.mllm import MllmBackend, MllmConfig
from astra.global_model.backends.protocol import PosedImage
from astra.global_model.backends.qwen2_5_vl import LocalQwen, QwenConfig
from astra.topomap.types import Landmark

MARKS = [Landmark(i, f"ROOM {i}", True, "", "work", np.zeros(3), 0.1, (1,), (10,)) for i in (2, 3)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalQwen:
    folder = tiny_qwen.build(tmp_path_factory.mktemp("qwen") / "tiny")
    return LocalQwen(QwenConfig(model=str(folder), device="cpu", local_files_only=True))


def test_every_step_runs_and_every_answer_fits_its_schema(model: LocalQwen) -> None:
    image = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    backend = MllmBackend(model, MllmConfig(attempts=1))
    score = backend.consistency(image, image)
    assert score is not None and 0.0 <= score <= 1.0
    pose = backend.estimate_pose(image, [PosedImage(image, Pose3())])
    assert pose is None or np.isfinite(pose.matrix()).all()
    assert {m.landmark_id for m in backend.resolve_goal("go to room 2", MARKS)} <= {2, 3}
    assert {s.landmark_id for s in backend.recognise(image, MARKS)} <= {2, 3}
    assert backend.unreachable == 0


def test_same_question_same_answer(model: LocalQwen) -> None:
    asked = prompts.consistency(np.zeros((112, 112, 3), np.uint8), np.zeros((112, 112, 3), np.uint8))
    assert model.complete(asked) == model.complete(asked)


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(ModelUnavailableError, match="no_such_model"):
        LocalQwen(QwenConfig(model="/tmp/no_such_model", local_files_only=True)).complete(prompts.resolve_goal("x", MARKS))
    with pytest.raises(AstraError, match="model"):
        LocalQwen(QwenConfig())
