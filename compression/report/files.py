"""The files of a report: text, numbers, a page and pictures in one folder."""

from __future__ import annotations

from pathlib import Path

from compression.errors import EvaluationError
from compression.report.charts import pictures
from compression.report.content import Report
from compression.report.html import page
from compression.report.plot import draw
from compression.report.table import markdown


def prepare_folder(folder: Path) -> None:
    """Make the folder, before anything is measured in vain.

    Raises:
        EvaluationError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"the folder {folder} cannot be made ({error.strerror}): use another --out") from error


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``report.json``, ``report.md``, ``report.html`` and a PNG for each picture; gives their paths.

    Raises:
        EvaluationError: A file cannot be written.
    """
    drawings = [draw(picture) for picture in pictures(report)]
    images = {folder / f"{drawing.picture.name}.png": drawing for drawing in drawings}
    links = (f"\n![{drawing.picture.title}]({path.name})\n" for path, drawing in images.items())
    try:
        report.save(folder / "report.json")
        (folder / "report.md").write_text(markdown(report) + "".join(links), encoding="utf-8")
        (folder / "report.html").write_text(page(report, drawings), encoding="utf-8")
        for path, drawing in images.items():
            drawing.save_png(path)
    except OSError as error:
        raise EvaluationError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return [folder / "report.json", folder / "report.md", folder / "report.html", *images]
