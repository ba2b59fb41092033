"""Drawing the plots of a report with matplotlib, as PNG files and as SVG text whose points say what they are."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from compression.report.charts import Chart, Picture, Point, Series
from compression.report.labels import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"crn": "#1f5fa8", "fcn": "#c8501e", None: "#767676"}
PAPER_COLOUR = "#2e8b57"
MARKERS = {"variants": ("o", 8), "sweep": (".", 7), "peers": ("D", 5), "paper": ("*", 14)}
SHAPES = {"original": "o", "pruned": "s", "quantized": "^", "combined": "P", None: "o"}
LINES = {"pruned": "-", "quantized": "--", "combined": ":", "original": "-", None: "-"}
NAME_POINTS = 8
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
MARK = "mark"  # class of a point in the SVG


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture and what was drawn of it."""

    picture: Picture
    figure: Figure

    def save_png(self, path: Path) -> None:
        """Write a PNG file."""
        self.figure.savefig(path, dpi=120)

    def svg(self) -> str:
        """An ``<svg>`` element for HTML: text stays text, and every point is a group with its text as title.

        All ids begin with the picture's name, so several can stand on one page.
        """
        import matplotlib

        written = io.BytesIO()
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "quietwire"}):
            self.figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
        ElementTree.register_namespace("", SVG)
        ElementTree.register_namespace("xlink", XLINK)
        root = ElementTree.fromstring(written.getvalue())  # noqa: S314  (our own)
        for child in root.findall(f"{{{SVG}}}metadata"):
            root.remove(child)
        for size in ("width", "height"):
            root.attrib.pop(size)  # as wide as the page lets it be
        texts = [point.text for chart in self.picture.charts for series in chart.series for point in series.points]
        marks = {element.get("id"): element for element in root.iter(f"{{{SVG}}}g")}
        for index, text in enumerate(texts):
            group = marks[f"{MARK}-{index}"]
            group.set("class", MARK)
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = text
            group.insert(0, title)
        content = ElementTree.tostring(root, encoding="unicode")
        return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{self.picture.name}-", content)


def draw(picture: Picture) -> Drawing:
    """Draw a picture, its plots side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * len(picture.charts), 5.6), layout="constrained")
    drawn, all_axes = 0, figure.subplots(1, len(picture.charts), squeeze=False)[0]
    for axes, chart in zip(all_axes, picture.charts, strict=True):
        drawn = _draw_chart(axes, chart, drawn)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, fontsize=9)
    figure.draw_without_rendering()  # only now is it known where a value lies in pixels
    figure.set_layout_engine("none")  # and there it stays
    for axes, chart in zip(all_axes, picture.charts, strict=True):
        _write_names(axes, chart)
    return Drawing(picture, figure)


def _draw_chart(axes: Axes, chart: Chart, first: int) -> int:
    """Draw one plot, whose points are counted from ``first``; gives the next number."""
    from matplotlib import ticker

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.EngFormatter("B", sep=" ") if chart.x_unit else ticker.StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel(chart.x_label)
    axes.set_title(chart.title, loc="left", fontsize=11)
    axes.set_ylabel(chart.y_label)
    axes.grid(which="major", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if chart.level is not None:
        name, level = chart.level
        axes.axhline(level, color="#999999", linestyle=":", label=name or None)
    for series in chart.series:
        _draw_series(axes, series, first)
        first += len(series.points)
    axes.margins(x=0.12, y=0.08)
    return first


def _draw_series(axes: Axes, series: Series, first: int) -> None:
    colour = PAPER_COLOUR if series.kind == "paper" else COLOURS[series.family]
    if series.kind == "sweep":
        across, up = [point.x for point in series.points], [point.y for point in series.points]
        style = LINES[series.points[0].variant]
        axes.plot(across, up, linestyle=style, color=colour, linewidth=1, marker=".", markersize=7, label=series.label)
    for index, point in enumerate(series.points):
        marker, size = MARKERS[series.kind]
        if series.kind == "variants":
            marker = SHAPES[point.variant]
            if point.interval is not None:
                axes.vlines(point.x, *point.interval, color=colour, linewidth=1, alpha=0.6)
        label = series.label if index == 0 and series.kind != "sweep" else None
        gid = f"{MARK}-{first + index}"
        axes.plot([point.x], [point.y], marker, color=colour, markersize=size, label=label, gid=gid, linestyle="none")


def _write_names(axes: Axes, chart: Chart) -> None:
    """Names beside their points, but not those of a sweep, which are many."""
    scale = axes.figure.dpi / 72
    points = [point for series in chart.series for point in series.points]
    named = [(series, point) for series in chart.series if series.kind != "sweep" for point in series.points]
    anchors = [_pixels(axes, point) for _, point in named]
    sizes = [(0.6 * NAME_POINTS * scale * len(point.name), 1.25 * NAME_POINTS * scale) for _, point in named]
    frame = axes.bbox.x0, axes.bbox.y0, axes.bbox.x1, axes.bbox.y1
    corners = place_labels(anchors, sizes, [_pixels(axes, point) for point in points], frame)
    for (series, point), corner in zip(named, corners, strict=True):
        colour = PAPER_COLOUR if series.kind == "paper" else COLOURS[series.family]
        anchor = _pixels(axes, point)
        offset = (corner[0] - anchor[0]) / scale, (corner[1] - anchor[1]) / scale
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            point.name,
            (point.x, point.y),
            offset,
            textcoords="offset points",
            fontsize=NAME_POINTS,
            color=colour,
            arrowprops=line,
        )


def _pixels(axes: Axes, point: Point) -> tuple[float, float]:
    across, up = axes.transData.transform((point.x, point.y))
    return float(across), float(up)
