"""Targets against results, and the tables that show them."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest

from benchmarks.figures import DecodeFigures, Figures, ServerFigures
from benchmarks.report import Report, figures_table, targets_table
from benchmarks.targets import OwnFigure, Results, Target, verdicts
from benchmarks.workloads import WORKLOADS, DecodeWorkload

FASTER = Target("tokens_per_s", 0.95, better="higher")


def rounds(*tokens_per_s: float) -> list[Figures]:
    return [DecodeFigures(rate, wall_s=100 / rate) for rate in tokens_per_s]


def results(ours: list[Figures], theirs: list[Figures], workload: str = "batch") -> Results:
    return {workload: {"llama-batched-bench": theirs, "llamad": ours}}


def test_a_figure_is_divided_by_the_peers() -> None:
    found = verdicts({"batch": [FASTER]}, results(rounds(90, 110, 100), rounds(100, 100, 100)))
    assert len(found) == 1
    assert (found[0].quotient, found[0].lowest, found[0].highest) == pytest.approx((1.0, 0.9, 1.1))
    assert found[0].reference_name == "llama-batched-bench"
    assert found[0].met


@pytest.mark.parametrize(
    ("target", "quotient", "met"),
    [
        (Target("wall_s", 0.5), 0.5, True),
        (Target("wall_s", 0.5), 0.504, True),  # what the table shows as 0.50
        (Target("wall_s", 0.5), 0.51, False),
        (Target("wall_s", 2.2, better="higher"), 2.2, True),
        (Target("wall_s", 2.2, better="higher"), 2.196, True),
        (Target("wall_s", 2.2, better="higher"), 2.19, False),
        (Target("wall_s", 0.5), math.inf, False),
    ],
)
def test_a_bound_is_held_at_two_decimals(target: Target, quotient: float, met: bool) -> None:
    assert target.holds(quotient) is met


def test_a_figure_can_stand_for_itself() -> None:
    found = verdicts(
        {"batch": [Target("wall_s", 1.1, reference="nothing")]}, results(rounds(100), rounds(50))
    )
    assert (found[0].value, found[0].quotient, found[0].met) == (1.0, 1.0, True)


def test_a_figure_can_be_divided_by_one_of_another_workload() -> None:
    measured = results(rounds(300), rounds(1)) | results(rounds(100), rounds(1), "other")
    target = Target("tokens_per_s", 2.0, reference=OwnFigure("other", "tokens_per_s"))
    found = verdicts({"batch": [target]}, measured)
    assert (found[0].quotient, found[0].met) == (3.0, False)


def test_rounds_are_compared_in_pairs_and_medians_over_all() -> None:
    # The machine got slower for both: the pairs agree although the rounds do not.
    found = verdicts({"batch": [FASTER]}, results(rounds(200, 100, 50), rounds(100, 50, 25)))
    assert (found[0].quotient, found[0].lowest, found[0].highest) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("missing", ["llamad", "llama-batched-bench"])
def test_a_target_with_one_side_measured_is_left_out(missing: str) -> None:
    measured = results(rounds(100), rounds(100))
    del measured["batch"][missing]
    assert verdicts({"batch": [FASTER]}, measured) == []


def test_a_target_whose_other_workload_did_not_run_is_left_out() -> None:
    target = Target("tokens_per_s", 2.0, reference=OwnFigure("other", "tokens_per_s"))
    assert verdicts({"batch": [target]}, results(rounds(100), rounds(100))) == []


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_ratio_line_divides_llamad_by_its_peer() -> None:
    table = figures_table(results(rounds(50), rounds(200)), DecodeFigures, ["wall_s", "tokens_per_s"])
    peer, ours, ratio = map(cells, table.splitlines()[2:])
    assert peer == ["batch", "llama-batched-bench", "0.5", "200"]
    assert ours == ["", "llamad", "2.0", "50"]
    assert ratio == ["", "**ratio**", "**4.00**", "**0.25**"]


def test_a_program_alone_has_no_ratio_line() -> None:
    table = figures_table({"batch": {"llamad": rounds(50)}}, DecodeFigures, ["tokens_per_s"])
    assert "ratio" not in table
    assert len(table.splitlines()) == 3


def test_the_table_of_targets_says_which_are_missed() -> None:
    missed = Target("wall_s", 0.5)
    table = targets_table(verdicts({"batch": [FASTER, missed]}, results(rounds(100), rounds(100))))
    met, not_met = map(cells, table.splitlines()[2:])
    assert met[-3:] == ["1.00 to 1.00", "≥ 0.95", "yes"]
    assert not_met[-3:] == ["1.00 to 1.00", "≤ 0.50", "**no**"]


def test_a_report_can_be_written_as_json() -> None:
    report = Report({"llamad": "1.0", "llama-batched-bench": "built"}, quick=False)
    workload = DecodeWorkload("batch", "nano", prompts=8, targets=(FASTER,))
    report.add(workload, {"llama-batched-bench": rounds(100, 100), "llamad": rounds(97, 99)})
    data = json.loads(json.dumps(report.as_json()))
    assert data["rounds"] == 2
    assert [one["tokens_per_s"] for one in data["figures"]["batch"]["llamad"]] == [97, 99]
    assert (data["targets"][0]["quotient"], data["targets"][0]["met"]) == (0.98, True)


def test_every_target_names_figures_that_exist() -> None:
    kinds = {w.name: DecodeFigures if isinstance(w, DecodeWorkload) else ServerFigures for w in WORKLOADS}
    assert len(kinds) == len(WORKLOADS)
    figures = {name: {field.name for field in fields(kind)} for name, kind in kinds.items()}
    for workload in WORKLOADS:
        for target in workload.targets:
            assert target.figure in figures[workload.name]
            if isinstance(target.reference, OwnFigure):
                assert target.reference.figure in figures[target.reference.workload]
