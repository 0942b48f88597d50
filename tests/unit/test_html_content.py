"""Which HTML shows something without its scripts."""

import time

import pytest

from moi_django.contrib.job_pages.html_content import has_content, has_scripts

# As these libraries write it, shortened.
SCRIPTED = {
    "altair": '<style>#altair-viz-1.vega-embed {width: 100%;}</style><div id="altair-viz-1"></div>'
    '<script type="text/javascript">var VEGA_DEBUG = (typeof VEGA_DEBUG == "undefined") ? {} : 1;'
    "</script>",
    "plotly": '<div><script src="https://cdn.plot.ly/plotly-3.0.1.min.js"></script><div id="1" '
    'class="plotly-graph-div"></div><script>Plotly.newPlot("1", [{"y": [1]}])</script></div>',
    "bokeh": '<div id="p1001" data-root-id="p1001" style="display: contents;"></div>'
    "<script>(function(root) { embed_document(root); })(window);</script>",
    "folium": '<div style="width:100%;"><div><span style="color:#565656">Make this Notebook '
    'Trusted to load map: File -> Trust Notebook</span><iframe srcdoc="&lt;!DOCTYPE html&gt;'
    '&lt;script src=&quot;https://cdn.jsdelivr.net/npm/leaflet&quot;&gt;&lt;/script&gt;"></iframe></div></div>',
    "without an end": "<div></div><script>draw()",
    "in capitals": "<SCRIPT>draw()</SCRIPT  >",
}
SEEN = {
    "a table": "<style scoped>td {color: red}</style><table><tr><td>1</td></tr></table>",
    "a table with a script": "<table><tr><td>1</td></tr></table><script>sort()</script>",
    "a picture": '<img src="data:image/png;base64,x"><script>zoom()</script>',
    "a drawing": "<svg><path/></svg>",
    "a frame": '<iframe srcdoc="&lt;b&gt;x"></iframe>shown',
    "words": "Hello",
}
EMPTY = {
    "an empty DataFrame": "<div><style scoped>.dataframe th {vertical-align: top}</style><table "
    'border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th></tr></thead>'
    "<tbody></tbody></table></div>",
    "nothing": "",
    "blanks": "<p> \n\N{NO-BREAK SPACE}</p>",
    "a title": "<title>x</title>",
}


@pytest.mark.parametrize("name", SCRIPTED)
def test_what_only_scripts_show(name):
    assert has_scripts(SCRIPTED[name]) and not has_content(SCRIPTED[name])


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_without_scripts(name):
    assert has_content(SEEN[name])


@pytest.mark.parametrize("name", EMPTY)
def test_what_shows_nothing_at_all(name):
    assert not has_content(EMPTY[name]) and not has_scripts(EMPTY[name])


@pytest.mark.parametrize("part", ["<script>", "<script", "</script>", "<", "<script>a</script>"])
def test_hostile_html_takes_no_longer_than_other(part):
    begun = time.process_time()
    has_content(part * (2_000_000 // len(part)))
    assert time.process_time() - begun < 5
