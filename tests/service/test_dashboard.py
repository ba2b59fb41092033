"""The Grafana dashboard and the alerts in docs ask for metrics and labels that the server really has."""

import itertools
import json
import re
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from .client import noise, play
from .files import post, write

DOCS = Path(__file__).parents[2] / "docs"
ADDED_BY_PROMETHEUS = {"instance", "job"}


@pytest.fixture(scope="module")
def shown(serve):
    """The families on /metrics after a stream, a file and a mistake, by name."""
    with serve() as running:
        play(running.url, noise(0.1), model="crn", variant="original")
        play(running.url, noise(0.1), sample_rate=7000)
        post(running.http, write(noise(0.1), 16000), model="crn", variant="original")
        text = httpx.get(f"{running.http}/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture(scope="module")
def dashboard():
    return json.loads((DOCS / "grafana-dashboard.json").read_text())


def queries(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def alerts():
    (group,) = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
    return group["rules"]


def check(query, shown):
    samples = {sample.name: sample.labels for family in shown.values() for sample in family.samples}
    names = re.findall(r"\b(?:quietwire|process)_\w+", query)
    assert names, query
    assert samples.keys() >= set(names), query
    labels = {label for name in names for label in samples[name]} | ADDED_BY_PROMETHEUS
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
        assert labels >= set(group.replace(" ", "").split(",")), query
    for selector in re.findall(r"\{([^}]*)\}", query):
        assert labels >= set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selector)), query


def test_every_query_of_the_dashboard_asks_for_what_there_is(dashboard, shown):
    for query in queries(dashboard):
        check(query, shown)


def test_the_dashboard_shows_every_metric_of_ours(dashboard, shown):
    asked = " ".join(queries(dashboard))
    own = {name.removesuffix("_created") for name in shown if name.startswith("quietwire_")}
    assert {name for name in own if name not in asked} == set()


def test_the_panels_fill_the_grid_without_overlap(dashboard):
    cells = []
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24, panel["title"]
        rows, columns = range(grid["y"], grid["y"] + grid["h"]), range(grid["x"], grid["x"] + grid["w"])
        cells += itertools.product(rows, columns)
    assert len(cells) == len(set(cells))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_the_dashboard_asks_the_data_source_that_is_chosen(dashboard):
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    for panel in dashboard["panels"]:
        for part in (panel, *panel["targets"]):
            assert part["datasource"]["uid"] == "${datasource}"


def test_every_alert_asks_for_what_there_is(alerts, shown):
    assert len(alerts) >= 15
    for alert in alerts:
        if not alert["expr"].startswith("up{"):  # Prometheus' own
            check(alert["expr"], shown)


def test_every_alert_can_fire_for_each_kind_it_names(alerts, shown):
    """A value of a label that the server never shows would make an alert that sleeps for ever."""
    values = {value for family in shown.values() for sample in family.samples for value in sample.labels.values()}
    for alert in alerts:
        for group in re.findall(r'(?:code|reason|kind)=~?"([^"]*)"', alert["expr"]):
            assert values >= set(group.split("|")), alert["expr"]


def test_every_alert_says_what_happened_and_what_to_do(alerts):
    names = [alert["alert"] for alert in alerts]
    assert len(names) == len(set(names))
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert set(alert["annotations"]) == {"summary", "action"}
        assert re.fullmatch(r"(\d+[smh])?", alert.get("for", ""))
        for label in re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]):
            assert label == "instance" or f"{label})" in alert["expr"]
