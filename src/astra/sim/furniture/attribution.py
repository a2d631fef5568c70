"""Who made the models of a world: a text to put beside what was built with them."""

from __future__ import annotations

from collections.abc import Iterable

from astra.sim.furniture.sweethome import Entry

SOURCE = "Sweet Home 3D furniture libraries, https://www.sweethome3d.com/free3DModels.jsp, Debian package sweethome3d-furniture"
CHANGED = "changed: simplified, its colours baked into one picture"
LINKS = {
    "CC0 1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY 3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC BY 3.0 US": "https://creativecommons.org/licenses/by/3.0/us/",
}


def attribution(entries: Iterable[Entry]) -> str:
    """One block for each model, with its name, author, licence and source; "" for no models."""
    blocks = [
        f"{entry.title} ({entry.id})\n  by {entry.creator}\n  licence: {entry.licence}, {LINKS[entry.licence]}\n  {CHANGED}"
        for entry in sorted(set(entries), key=lambda e: e.id)
    ]
    return "\n\n".join(["This world shows models of furniture by the following authors.\nSource: " + SOURCE, *blocks]) + "\n" if blocks else ""
