"""`Page` against prometheus_client's own parser."""

from __future__ import annotations

import math

import pytest
from llamad.server.metrics_page import Page
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families


def parsed(page: Page) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page.text().decode())}


def test_samples_come_back_as_they_were() -> None:
    page = Page()
    page.counter("c", "Counts.", [({"a": "x"}, 3), ({"a": "y"}, 1 << 40)])
    page.gauge("g", "Goes up and down.", [({}, -0.25)])
    counter, gauge = parsed(page)["c"], parsed(page)["g"]
    assert (counter.type, counter.documentation) == ("counter", "Counts.")
    assert [(sample.labels, sample.value) for sample in counter.samples] == [
        ({"a": "x"}, 3),
        ({"a": "y"}, 1 << 40),
    ]
    assert (gauge.type, gauge.samples[0].labels, gauge.samples[0].value) == ("gauge", {}, -0.25)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, 5e-324])
def test_unusual_numbers_are_read(value: float) -> None:
    page = Page()
    page.gauge("g", "A number.", [({}, value)])
    assert parsed(page)["g"].samples[0].value == value


@pytest.mark.parametrize("value", ['"', "\\", "a\nb", '\\"', "\\n", "é{}=,", ""])
def test_the_value_of_a_label_may_be_anything(value: str) -> None:
    page = Page()
    page.gauge("g", "A model's.", [({"model_name": value, "other": "x"}, 1)])
    page.histogram("h", "A model's.", [({"model_name": value}, ((1.0,), [1, 0], 0.5))])
    assert parsed(page)["g"].samples[0].labels == {"model_name": value, "other": "x"}
    assert {sample.labels["model_name"] for sample in parsed(page)["h"].samples} == {value}


@pytest.mark.parametrize("labels", [{}, {"model_name": "tiny"}])
def test_buckets_are_cumulated(labels: dict[str, str]) -> None:
    page = Page()
    page.histogram("h", "Times.", [(labels, ((0.001, 1.0, 1e6), [1, 2, 0, 4], 12.5))])
    samples = parsed(page)["h"].samples
    buckets = [(sample.labels["le"], sample.value) for sample in samples if sample.name == "h_bucket"]
    assert buckets == [("0.001", 1), ("1.0", 3), ("1e+06", 3), ("+Inf", 7)]
    assert [(s.name, s.labels, s.value) for s in samples[-2:]] == [
        ("h_count", labels, 7),
        ("h_sum", labels, 12.5),
    ]


def test_a_metric_without_samples_is_named() -> None:
    page = Page()
    page.counter("c", "Nothing yet.", [])
    page.histogram("h", "Nothing yet.", [])
    assert {name: family.samples for name, family in parsed(page).items()} == {"c": [], "h": []}
