"""The last minute, bounded in time and bytes."""

from __future__ import annotations

from astra.ros.ring import Ring

SECOND = 10**9


def test_it_forgets_what_is_old_and_keeps_the_last_word_of_latched_topics() -> None:
    ring = Ring(60.0, 10**6)
    ring.add("/map", SECOND, b"old", latched=True)
    ring.add("/map", 2 * SECOND, b"map", latched=True)
    for second in range(100):
        ring.add("/odom", second * SECOND, bytes([second]), latched=False)
    rows = list(ring.rows())
    assert rows[0] == ("/map", 2 * SECOND, b"map")
    assert [row[1] // SECOND for row in rows[1:]] == list(range(39, 100))
    assert ring.bytes == 61
    assert ring.dropped == 0


def test_its_memory_is_bounded_and_what_is_lost_is_counted() -> None:
    ring = Ring(60.0, 1000)
    for i in range(50):
        ring.add("/front/image_raw", i * SECOND // 10, bytes(100), latched=False)
    assert ring.bytes <= 1000
    assert ring.dropped == 40
    assert len(ring) == 10


def test_a_clock_that_goes_back_begins_anew_and_latched_words_are_not_newer_than_the_rest() -> None:
    ring = Ring(60.0, 10**6)
    ring.add("/map", 100 * SECOND, b"map", latched=True)
    ring.add("/odom", 100 * SECOND, b"a", latched=False)
    ring.add("/odom", 5 * SECOND, b"b", latched=False)
    assert list(ring.rows()) == [("/map", 5 * SECOND, b"map"), ("/odom", 5 * SECOND, b"b")]
