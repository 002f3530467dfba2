"""Colours, type and helpers that every figure of the report shares."""

from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

NIGHT = "#0b0d10"  # around radiographs, so that the eye adapts to the picture and not to the page
NIGHT_TEXT = "#e6e8eb"
NIGHT_QUIET = "#8f979f"
WARN = "#ff9c3f"  # a verdict that says no
INK = "#1c2126"
QUIET = "#6b737b"
GRID = "#e3e6e9"
UP = "#c8501e"  # vermilion and blue stay apart for every common colour blindness
DOWN = "#1f6fb4"
BINS = ("#1f6fb4", "#5aa2c8", "#9a9a9a", "#e0904a", "#c8501e")


def new_figure(width: float, height: float, background: str = "white") -> Figure:
    """An empty figure in inches, drawn without pyplot (no global state, no display)."""
    figure = Figure(figsize=(width, height), facecolor=background)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, title: str, x: str, y: str, pad: float = 10.0) -> None:
    """Gives a chart its title, labels, light grid and open frame."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=pad, fontweight="bold")
    axes.set_xlabel(x, fontsize=9.5, color=INK)
    axes.set_ylabel(y, fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=QUIET, length=0, pad=5)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def save_png(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Writes the figure as a PNG, the file appearing whole or not at all; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(png_bytes(figure, dpi))
    unfinished.replace(path)
    return path
