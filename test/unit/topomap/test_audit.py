"""The audit's verdict survives the map's file and is told by `inspect`; a map without one is still a map."""

import dataclasses

import pytest

from astra.topomap.audit import FragmentAudit, MapAudit, SuspiciousLoop, Verdict
from astra.topomap.io import load_map, save_map
from astra.topomap.validate import summarise

AUDIT = MapAudit(
    Verdict.DOUBTFUL,
    ("fragment 1: the unit of length is loose",),
    (FragmentAudit(40, Verdict.CONSISTENT, (), 12, ("odometry",)), FragmentAudit(9, Verdict.DOUBTFUL, ("the unit of length is loose",), 0, ("sequence",))),
    (SuspiciousLoop(3, 30, "the same shelf in another aisle"),),
)


def test_the_verdict_is_written_and_read(tmp_path, small_map, small_features):
    topo = load_map(small_map)
    audited = dataclasses.replace(topo, info=dataclasses.replace(topo.info, audit=AUDIT, build={"keyframes": 5, "registered": 4}))
    images = {view.image: small_map / view.image for node in topo.nodes.values() for view in node.views}
    save_map(audited, small_features, images, tmp_path / "audited")
    found = load_map(tmp_path / "audited")
    assert found.info.audit == AUDIT
    summary = summarise(found)
    assert summary.to_json()["audit"] == AUDIT.to_json()
    text = "\n".join(summary.lines())
    assert "audit: doubtful; 80 % of the keyframes" in text and summary.to_json()["coverage"] == 0.8
    assert "suspicious loop 3 – 30: the same shelf" in text and "40 nodes, consistent; 12 revisits agree" in text


def test_a_map_from_before_the_audit_loads(small_map):
    topo = load_map(small_map)
    assert topo.info.audit is None
    assert any("audit: none" in line for line in summarise(topo).lines())


def test_what_is_no_verdict_is_refused():
    with pytest.raises(ValueError, match="splendid"):
        MapAudit.from_json({**AUDIT.to_json(), "verdict": "splendid"})
