"""Sentences judged on the landmarks of a generated world: the truth is right, nonsense is not, and shares come with honest intervals."""

import pytest

from astra.evaluation.goals import imagined_world, judge, shares, true_map
from astra.evaluation.goals_table import wilson
from astra.global_model.backends.embedded import EmbeddedBackend
from astra.global_model.backends.protocol import Meaning
from astra.global_model.goal import GoalFinder


class Oracle(EmbeddedBackend):
    """Knows the answers."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def resolve_goal(self, text, landmarks, near=None):
        said = next(i for i in self.world.instructions if i.text == text)
        marks = [m for m in self.world.landmarks if m.area in said.answers]
        places = {area: k for k, area in enumerate(said.answers)}
        one_each = {m.area: m for m in marks}.values() if said.kind == "ambiguous" else marks[:1]
        return tuple(Meaning(m.id, 1.0, "known", places[m.area]) for m in one_each)


class Nobody(EmbeddedBackend):
    """Never knows anything."""

    def resolve_goal(self, text, landmarks, near=None):
        return ()


@pytest.fixture(scope="module")
def world():
    return imagined_world("office", 10_150)


def test_whoever_knows_is_right_and_whoever_refuses_is_right_about_the_unanswerable_alone(world, tmp_path):
    loaded = true_map(world)
    knows = judge(GoalFinder(tmp_path, loaded=loaded, backend=Oracle(world)), world, world.instructions)
    assert len(knows) > 30 and all(episode.right for episode in knows)
    refuses = judge(GoalFinder(tmp_path, loaded=loaded, backend=Nobody()), world, world.instructions)
    assert all(right == (asked if kind == "unanswerable" else 0) for kind, (right, asked) in shares(refuses).items())


def test_the_embedded_backend_understands_an_unseen_office(world, tmp_path):
    got = shares(judge(GoalFinder(tmp_path, loaded=true_map(world), backend=EmbeddedBackend()), world, world.instructions))
    for kind, least in (("explicit", 0.95), ("object", 0.95), ("implied", 0.75), ("unanswerable", 0.85)):
        right, asked = got[kind]
        assert right >= least * asked - 1, kind


def test_wilson_intervals():
    low, high = wilson(95, 100)
    assert (low, high) == pytest.approx((0.888, 0.978), abs=0.001)
    assert wilson(10, 10)[1] == 1.0 and wilson(10, 10)[0] > 0.7
