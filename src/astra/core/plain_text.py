"""Text that was read from the world or comes from a file: data to be shown and compared, of bounded length, on one line, without control characters."""

from __future__ import annotations

import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, direction marks, surrogates, private and unassigned, line and paragraph ends


def plain_text(text: str, most: int) -> str:
    """The text on one line with what does not print left out, cut to `most` characters (the last is then "…")."""
    bounded = text[: 8 * most]  # nobody needs the rest, and nobody waits for it
    seen = (" " if c.isspace() else c for c in bounded if c.isspace() or unicodedata.category(c) not in HIDDEN)
    flat = " ".join("".join(seen).split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"
