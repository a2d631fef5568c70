"""A reader is sent what is new to it, once."""

from __future__ import annotations

import json

from astra.dash.board import Board


def test_only_what_changed_is_sent_again() -> None:
    board = Board()
    board.put("pose", {"x": 1.0, "sigma_m": float("nan")})
    board.put("map", {"width": 3})
    board.put_picture("front", b"jpeg", "image/jpeg")
    version, text = board.since(0)
    assert json.loads(text) == {"pose": {"x": 1.0, "sigma_m": None}, "map": {"width": 3}, "pictures": {"front": 3}}
    board.put("map", {"width": 3})
    assert board.since(version) == (version, "{}")
    board.put("pose", {"x": 2.0})
    newer, text = board.since(version)
    assert newer > version and json.loads(text) == {"pose": {"x": 2.0}}
    assert board.picture("front") == (b"jpeg", "image/jpeg") and board.picture("back") is None
