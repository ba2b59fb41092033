"""The tables of a report, of numbers whose means and losses are known."""

import dataclasses

import pytest

from compression.report.content import Input, Report, System
from compression.report.peers import reference
from compression.report.table import markdown, tables
from models.measures import MEASURES

ORIGINAL = (1.0, 2.0, 3.0)


def rows(values: tuple[float | None, ...]) -> tuple[dict[str, float | None], ...]:
    """Pairs of which all measures are the same number."""
    return tuple(dict.fromkeys(MEASURES, value) for value in values)


def system(variant: str, values: tuple[float | None, ...], **facts: object) -> System:
    known = {"family": "crn", "variant": variant, "label": variant, "series": None, "bytes": 1000, "size_ratio": 1.0}
    costs = {"parameters": 12345, "macs_per_second": 1_500_000, "real_time_factor": 0.02}
    return System(**{**known, **costs, **facts}, enhanced=rows(values))


def report(*systems: System, failures: dict[str, str] | None = None) -> Report:
    pairs = tuple(Input(f"p{index}", None, values) for index, values in enumerate(rows((0.5, 1.0, 1.5))))
    return Report("three pairs", "2026-01-02", "an abacus", pairs, systems, failures or {})


def row(made: Report, name: str, title: str = "crn") -> tuple[str, ...]:
    found = next(table for table in tables(made) if table.title == title)
    return next(row for row in found.rows if row[0] == name)


def test_a_row_has_costs_means_and_losses() -> None:
    lower = tuple(0.97 * value for value in ORIGINAL)
    pruned = system("pruned", lower, bytes=54, size_ratio=0.054, real_time_factor=0.005)
    made = report(system("original", ORIGINAL), pruned)
    costs = ("54", "5.40", "12,345", "1.5", "0.0050", "4.00×")
    scores = ("1.940 ± 1.098", "1.940 ± 1.098", "1.940 ± 1.098", "1.94 ± 1.10")
    assert row(made, "pruned") == ("pruned", *costs, *scores, "3.00 [3.00, 3.00]", "3.00 [3.00, 3.00]")
    assert row(made, "original")[6:8] == ("1.00×", "2.000 ± 1.132")
    assert row(made, "noisy input")[6:9] == ("–", "1.000 ± 0.566", "1.000 ± 0.566")


def test_a_variant_that_is_better_has_a_negative_loss() -> None:
    made = report(system("original", ORIGINAL), system("combined", tuple(1.1 * value for value in ORIGINAL)))
    assert row(made, "combined")[-1] == "-10.00 [-10.00, -10.00]"


def test_losses_are_over_the_pairs_that_both_have() -> None:
    made = report(system("original", (1.0, 2.0, None)), system("pruned", (0.5, 1.0, 3.0)))
    loss = made.loss(made.systems[1], "pesq")
    assert loss is not None
    assert (loss.percent, loss.pairs) == (50, 2)
    assert "PESQ is not defined for up to 1 of the pairs" in markdown(made)


def test_what_is_not_defined_is_a_dash() -> None:
    made = report(system("original", (1.0, None, None)), system("pruned", (1.0, 2.0, 3.0)))
    assert row(made, "original")[7] == "–"
    assert row(made, "pruned")[-2:] == ("–", "–")
    zero = report(system("original", (0.0, 0.0, 0.0)), system("pruned", ORIGINAL))
    assert row(zero, "pruned")[-2:] == ("–", "–")


def test_a_family_is_compared_with_its_own_original_only() -> None:
    made = report(
        system("original", ORIGINAL),
        system("original", (2.0, 2.0, 2.0), family="fcn"),
        system("pruned", ORIGINAL, family="fcn"),
    )
    assert row(made, "pruned", "fcn")[-2] == "0.00 [-50.00, 50.00]"


def test_the_sweep_has_a_table_of_its_own() -> None:
    point = system("quantized", ORIGINAL, label="quantized: k = 8", series="quantized")
    made = report(system("original", ORIGINAL), point)
    assert row(made, "quantized: k = 8", "crn: sweep")[-1] == "0.00 [0.00, 0.00]"
    assert [table.title for table in tables(made)] == ["crn", "crn: sweep", "Other systems"]


def test_the_paper_stands_beside_each_family_with_how_it_counts() -> None:
    made = report(system("original", ORIGINAL), system("original", ORIGINAL, family="fcn"))
    for family in ("crn", "fcn"):
        theirs = row(made, "Wu et al. 2019, pruned and quantized", family)
        assert (theirs[2], theirs[7:9], theirs[-2:]) == ("10.03", ("1.79", "0.69"), ("3.24", "1.43"))
        assert row(made, "Wu et al. 2019, original", family)[7:9] == ("1.85", "0.70")
    assert "counts log2(k)/32 of the weights that are kept and nothing else" in markdown(made)


def test_published_losses_are_those_of_the_published_scores() -> None:
    paper = reference().paper
    assert 100 * (1 - paper.pesq[1] / paper.pesq[0]) == pytest.approx(paper.pesq_loss, abs=0.005)
    assert 100 * (1 - paper.stoi[1] / paper.stoi[0]) == pytest.approx(paper.stoi_loss, abs=0.005)


def test_other_systems_are_compared_only_over_their_own_pairs() -> None:
    made = report(system("original", ORIGINAL))
    assert "not the pairs of this report" in markdown(made)
    data = reference()
    assert data.same_pairs(100, {"pesq": 1.2399, "stoi": 0.7674, "estoi": 0.4928, "si_sdr": 2.92})
    assert not data.same_pairs(99, {"pesq": 1.2399, "stoi": 0.7674, "estoi": 0.4928, "si_sdr": 2.92})
    assert not data.same_pairs(100, {"pesq": 1.2399, "stoi": 0.7664, "estoi": 0.4928, "si_sdr": 2.92})
    assert not data.same_pairs(100, {"pesq": None, "stoi": 0.7674, "estoi": 0.4928, "si_sdr": 2.92})
    values = {"pesq": 1.24, "stoi": 0.767, "estoi": 0.493, "si_sdr": 2.9}
    same = dataclasses.replace(made, pairs=(Input("p", None, values),) * 100, systems=())
    assert same.has_pairs_of(data)
    assert "-5 to 15 dB, the pairs of this report" in markdown(same)


def test_other_systems_have_their_figures_and_mean_over_snrs() -> None:
    found = row(report(), "RNNoise (48 kHz, PyPI pyrnnoise 0.4.5)", "Other systems")
    assert found[1:8] == ("14,800,000", "0.0270", "30", "1.52", "0.822", "0.623", "6.5")
    for peer in reference().peers:
        if peer.pesq_by_snr:
            assert sum(peer.pesq_by_snr) / 5 == pytest.approx(peer.pesq, abs=0.011), peer.name


def test_every_row_is_as_long_as_its_header_and_bars_in_names_do_not_break_it() -> None:
    point = system("pruned", ORIGINAL, label="a|b", series="pruned")
    made = report(system("original", ORIGINAL), point, failures={"crn/pruned": "torn"})
    for table in tables(made):
        assert {len(cells) for cells in table.rows} == {len(table.header)}
    text = markdown(made)
    assert "| a&#124;b |" in text
    assert "**crn/pruned is left out**: torn" in text
