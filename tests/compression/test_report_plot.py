"""The plots of a report: which points they have, what the page says of each, and where names go."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from compression.report.charts import Chart, pictures
from compression.report.content import Input, Report, System
from compression.report.html import page
from compression.report.labels import place_labels
from compression.report.peers import reference
from compression.report.plot import draw
from models.measures import MEASURES

VOID = {"meta", "br", "img", "link"}


def system(family: str, variant: str, ratio: float, quality: float, series: str | None = None, label: str = "") -> System:
    rows = tuple(dict.fromkeys(MEASURES, quality * value) for value in (1.0, 2.0, 3.0))
    size = round(1e6 * ratio)
    return System(family, variant, label or variant, series, size, ratio, 250_000, 10**8, 0.02 * ratio, rows)


@pytest.fixture(scope="module")
def report() -> Report:
    pairs = tuple(Input(f"p{index}", None, dict.fromkeys(MEASURES, 0.5)) for index in range(3))
    systems = (
        system("crn", "original", 1.0, 1.0),
        system("crn", "combined", 0.05, 0.98),
        system("fcn", "original", 1.0, 0.8),
        system("crn", "pruned", 0.5, 0.99, "pruned", "pruned: <half> & more"),
        system("crn", "pruned", 0.3, 0.95, "pruned", "pruned: a third"),
    )
    return Report("three pairs", "2026-01-02", "an abacus", pairs, systems, {})


def chart(report: Report, picture: str, index: int) -> Chart:
    return next(found for found in pictures(report) if found.name == picture).charts[index]


def test_quality_is_drawn_over_bytes_and_over_time_with_the_peers_and_the_noisy_input(report: Report) -> None:
    peers = reference().peers
    for name, x, theirs in (("bytes", 50_000, "bytes"), ("time", 0.001, "rtf")):
        for index, measure in enumerate(("pesq", "stoi")):
            found = chart(report, name, index)
            assert found.level == ("noisy input", 0.5)
            series = {line.label: line for line in found.series}
            combined = series["crn"].points[1]
            assert (combined.name, combined.x, combined.y) == ("crn combined", x, pytest.approx(1.96))
            assert combined.interval == pytest.approx((1.96 - 1.109, 1.96 + 1.109), abs=1e-3)
            others = [(point.name, point.x, point.y) for point in series["other systems, over other pairs"].points]
            assert others == [(p.name, getattr(p, theirs), getattr(p, measure)) for p in peers if getattr(p, theirs)]
            assert len(others) == 9


def test_losses_are_drawn_over_size_with_the_papers_point(report: Report) -> None:
    for index, published in enumerate((3.24, 1.43)):
        found = chart(report, "loss", index)
        series = {line.label: line for line in found.series}
        (combined,) = series["crn"].points  # the original loses nothing of itself
        assert (combined.x, combined.y) == (pytest.approx(5), pytest.approx(2))
        (paper,) = series["Wu et al. 2019, as published"].points
        assert (paper.x, paper.y) == (pytest.approx(10.03), published)
        assert "fcn" not in series


def test_a_sweep_is_a_line_in_order_of_x(report: Report) -> None:
    found = chart(report, "loss", 0)
    (line,) = [series for series in found.series if series.kind == "sweep"]
    assert line.label == "crn, sweep of pruned"
    assert [(point.x, point.y) for point in line.points] == [(30, pytest.approx(5)), (50, pytest.approx(1))]


class Page(HTMLParser):
    """Checks that tags close in order; collects ids, titles of marks, and anything that would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.titles: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attributes}
        assert tag not in {"script", "link", "img", "image", "iframe"}
        self.ids += [given["id"]] if "id" in given else []
        self.references += [given[key] for key in ("href", "xlink:href", "src") if key in given]
        if tag == "title" and self.open[-1] == ("g", "mark"):
            self.titles.append("")
        if tag not in VOID:
            self.open.append((tag, given.get("class", "")))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if len(self.open) > 1 and self.open[-1][0] == "title" and self.open[-2] == ("g", "mark"):
            self.titles[-1] += data


def test_the_page_is_whole_loads_nothing_and_names_every_point_with_its_numbers(report: Report) -> None:
    text = page(report, [draw(picture) for picture in pictures(report)])
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    assert found.references
    assert all(target.startswith("#") and target[1:] in found.ids for target in found.references)
    assert "@import" not in text
    points = [p for picture in pictures(report) for c in picture.charts for series in c.series for p in series.points]
    assert found.titles == [point.text for point in points]
    combined = next(title for title in found.titles if title.startswith("crn combined"))
    assert "50,000 bytes, 5.00 % of original" in combined
    assert "real-time factor 0.0010, 20.00 times as fast as original" in combined
    assert "PESQ 1.960 ± 1.109, 2.00 % [2.00, 2.00] lost" in combined
    assert any(title.startswith("crn pruned: <half> & more\n") for title in found.titles)


def test_a_report_without_points_of_its_own_can_be_drawn(report: Report, tmp_path: Path) -> None:
    empty = report.only([])
    drawings = [draw(picture) for picture in pictures(empty)]
    drawings[-1].save_png(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len(Page(page(empty, drawings)).titles) == 9 * 4 + 2


def test_names_stay_inside_the_plot_and_off_each_other_and_the_points() -> None:
    points = [(50.0, 50.0), (52.0, 50.0), (195.0, 50.0), (50.0, 98.0)]
    size = (40.0, 10.0)
    corners = place_labels(points, [size] * 4, points, (0, 0, 200, 100))
    boxes = [(x, y, x + size[0], y + size[1]) for x, y in corners]
    for index, (left, bottom, right, top) in enumerate(boxes):
        assert left >= 0
        assert bottom >= 0
        assert right <= 200
        assert top <= 100
        assert not any(left < x < right and bottom < y < top for x, y in points)
        for other in boxes[:index]:
            assert left >= other[2] or other[0] >= right or bottom >= other[3] or other[1] >= top


def test_a_lone_name_is_close_to_its_point_on_the_right() -> None:
    ((x, y),) = place_labels([(50, 50)], [(40, 10)], [(50, 50)], (0, 0, 200, 100))
    assert (x, y) == (58, 49)
