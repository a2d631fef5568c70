"""The page of a map stands on its own, and text from the world cannot break out of it."""

import dataclasses
import json
import re

import numpy as np
import pytest

from astra.core.errors import MapError
from astra.topomap.audit import FragmentAudit, MapAudit, SuspiciousLoop, Verdict
from astra.topomap.io import save_map
from astra.topomap.view import encode_png, read_pgm, write_html


def _data(page):
    text = re.search(r"const data = (\{.*\});\n", page).group(1)
    return json.loads(text)


def test_the_page_holds_the_whole_map_and_loads_nothing(small_map, small_topomap, tmp_path):
    write_html(small_map, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    data = _data(page)
    assert len(data["nodes"]) == 4 and len(data["edges"]) == 2 and len(data["landmarks"]) == 2
    assert set(data["pictures"]) == {str(i) for i in range(8)}
    assert data["grid"]["x"] == -1.0 and data["grid"]["w"] == 2.0 and data["grid"]["h"] == 1.5
    assert data["warnings"] == ["one warning"]
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page) and "@import" not in page


def test_the_page_tells_what_the_audit_found(small_topomap, small_features, tmp_path):
    fragments = FragmentAudit(3, Verdict.CONSISTENT), FragmentAudit(1, Verdict.DOUBTFUL, ("alone",))
    audit = MapAudit(Verdict.DOUBTFUL, ("</script>",), fragments, (SuspiciousLoop(0, 2, "far"),))
    audited = dataclasses.replace(small_topomap, info=dataclasses.replace(small_topomap.info, audit=audit))
    images = {v.image: tmp_path / "a.jpg" for n in small_topomap.nodes.values() for v in n.views}
    (tmp_path / "a.jpg").write_bytes(b"jpeg")
    save_map(audited, small_features, images, tmp_path / "audited")
    write_html(tmp_path / "audited", tmp_path / "map.html")
    data = _data((tmp_path / "map.html").read_text(encoding="utf-8"))
    assert data["audit"]["verdict"] == "doubtful" and data["loops"] == [[0, 2]]
    assert [f["reasons"] for f in data["audit"]["fragments"]] == [[], ["alone"]]
    assert [n["fragment"] for n in data["nodes"]] == [0, 0, 0, 1] and data["nodes"][0]["sigma"] == 0.05


def test_text_from_the_world_stays_text(small_map, tmp_path):
    write_html(small_map, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 1
    assert _data(page)["landmarks"][1]["label"] == '=SUM(A1)</script><b>"x'
    assert "innerHTML" not in page


def test_png_is_what_image_libraries_read():
    cv2 = pytest.importorskip("cv2")
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(encode_png(grey), np.uint8), cv2.IMREAD_UNCHANGED), grey)


def test_pgm_with_comments_is_read_and_damage_is_named(tmp_path):
    file = tmp_path / "a.pgm"
    file.write_bytes(b"P5\n# CREATOR: somebody\n3 2 # size\n255\n" + bytes([10, 32, 35, 9, 13, 200]))
    np.testing.assert_array_equal(read_pgm(file), [[10, 32, 35], [9, 13, 200]])
    for content in (b"P5\n3 2\n255\n" + bytes(5), b"P2\n3 2\n255\n1 2 3 4 5 6", b"", b"P5\n-3 2\n255\n"):
        file.write_bytes(content)
        with pytest.raises(MapError, match=r"a\.pgm"):
            read_pgm(file)


def test_a_page_is_not_written_for_a_broken_map(tmp_path):
    with pytest.raises(MapError):
        write_html(tmp_path, tmp_path / "map.html")
    assert not (tmp_path / "map.html").exists()
