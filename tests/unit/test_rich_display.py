"""How a result looks, as far as it needs no engine."""

import base64

from moi_django.contrib.displays.rich_display import SIZE, display_forms
from tests.site import work

PNG = "image/png"


def width_of(forms):
    return int.from_bytes(base64.b64decode(forms[PNG])[16:20])


def test_a_figure_is_as_sharp_as_there_is_room_for(capfd):
    figure = work.figure()
    sharp = display_forms(figure, 1_000_000)
    assert int(sharp[f"{PNG}{SIZE}"].split()[0]) == width_of(sharp) // 2
    plain = display_forms(figure, len(sharp[PNG]) - 1)
    assert f"{PNG}{SIZE}" not in plain
    assert abs(width_of(plain) - width_of(sharp) / 2) <= 1
    assert capfd.readouterr().err == ""
    assert display_forms(figure, len(plain[PNG]) - 1) == {}
    assert "not shown as image/png" in capfd.readouterr().err
