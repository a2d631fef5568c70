"""Copies of a map side by side: as many nodes as asked for, nothing shared."""

from astra.evaluation.goals import imagined_world, tiled, true_map


def test_a_tiled_map_is_large_and_its_landmarks_know_their_nodes():
    one = true_map(imagined_world("home", 10_150)).map
    big = tiled(true_map(imagined_world("home", 10_150)), 3 * len(one.nodes)).map
    assert len(big.nodes) == 3 * len(one.nodes) and len(big.landmarks) == 3 * len(one.landmarks)
    assert all(mark.id in big.nodes[k].landmark_ids for mark in big.landmarks.values() for k in mark.node_ids)
