"""The page on monitoring names the metrics that there are, and its files can be read."""

import re

import pytest
import yaml

from moi_django.contrib.metrics.families import FAMILIES
from tests.helpers.processes import ROOT

PAGE = (ROOT / "docs/howto/monitor.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
QUERIES = [
    rule["expr"]
    for block in YAML
    for group in yaml.safe_load(block).get("groups", ())
    for rule in group["rules"]
] + re.findall(r"^(?:sum|histogram)\S* .*|^histogram_quantile.*", PAGE, re.MULTILINE)
# What a histogram has, and what the labels of one besides its own are.
PARTS, LABELS = ("_bucket", "_sum", "_count"), {"le", "job"}


def test_the_table_has_each_metric_as_the_code_has_it():
    rows = re.findall(r"^\| `(moi_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
    documented = [
        (name, kind, tuple(re.findall(r"\w+", labels)), help) for name, kind, labels, help in rows
    ]
    assert documented == [tuple(family) for family in FAMILIES.values()]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_names_are_as_prometheus_wants_them(family):
    assert family.name.endswith("_total") is (family.type == "counter")
    if family.type == "histogram":
        assert family.name.endswith("_seconds")
    assert set(family.labels) <= {"context", "state", "version", "consumer"}
    assert family.help.endswith(".")


@pytest.mark.parametrize("block", YAML)
def test_files_for_other_programs_are_yaml(block):
    assert isinstance(yaml.safe_load(block), dict)


def test_an_alert_says_when_and_what_is_to_be_done():
    [rules] = [yaml.safe_load(block)["groups"][0]["rules"] for block in YAML if "groups:" in block]
    assert len(rules) > 4
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "annotations"}
        assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_metrics_and_labels_that_there_are(query):
    names = {re.sub(rf"({'|'.join(PARTS)})$", "", name) for name in re.findall(r"moi_\w+", query)}
    assert names <= FAMILIES.keys()
    wanted = set(re.findall(r"(\w+)=~?\"", query))
    for listed in re.findall(r"(?:by|on) \(([^)]*)\)", query):
        wanted |= set(re.findall(r"\w+", listed))
    known = {label for name in names for label in FAMILIES[name].labels} | LABELS
    assert wanted <= known
