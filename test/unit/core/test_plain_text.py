"""What the world says is data: one line, bounded, nothing that does not print."""

import time

from astra.core.plain_text import plain_text


def test_one_line_without_what_does_not_print():
    assert plain_text(" MEETING\r\n ROOM\t2 ", 40) == "MEETING ROOM 2"
    assert plain_text("EX\u202eIT\u200b\x00\x1b[2J", 40) == "EXIT[2J"
    assert plain_text("Küche 厨房 №4", 40) == "Küche 厨房 №4"


def test_bounded_length_in_bounded_time():
    start = time.process_time()
    assert plain_text("A" * 10_000_000, 10) == "AAAAAAAAA…"
    assert time.process_time() - start < 1.0
    assert plain_text("ABCDEFGHIJ", 10) == "ABCDEFGHIJ" and plain_text("", 5) == ""
