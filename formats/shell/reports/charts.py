"""Charts as SVG inside a page: drawn by pygal, without its script and its links, in the colours of the page."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

import pygal
from pygal.style import Style

WIDTH, HEIGHT = 860, 280
LABELS_MAX = 8  # more cannot be read beside each other
STEPS = 5  # the most steps of an axis

# Parts that pygal adds even without a script. It escapes names in them, so the first apparent end is the end.
_EXTRAS = re.compile(r"<!--.*?-->|<script.*?</script>", re.DOTALL)
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground="var(--ink)",
    foreground_strong="var(--ink)",
    foreground_subtle="var(--faint)",
    opacity=".85",
    opacity_hover="1",
    font_family="inherit",
    guide_stroke_color="var(--line)",
    major_guide_stroke_color="var(--line)",
    guide_stroke_dasharray="none",
    major_guide_stroke_dasharray="none",
    value_font_size=12,
    label_font_size=12,
    major_label_font_size=12,
    legend_font_size=13,
    colors=("var(--c1)", "var(--c2)", "var(--c3)"),
)


def bars(labels: Sequence[str], series: Mapping[str, Sequence[float]], shown: Callable[[float], str]) -> str:
    """Return a chart with a bar for each label and series."""
    return _drawn(pygal.Bar, labels, series, shown)


def lines(labels: Sequence[str], series: Mapping[str, Sequence[float]], shown: Callable[[float], str]) -> str:
    """Return a chart with a line for each series."""
    return _drawn(pygal.Line, labels, series, shown, show_dots=len(labels) < 100)


def rows(labels: Sequence[str], values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Return a chart with a horizontal bar for each label, from the top, with the value beside the label."""
    named = [f"{label}: {shown(value)}" for label, value in zip(labels, values, strict=True)]
    upwards = {"": values[::-1]}
    height = 40 + 34 * len(labels)
    return _drawn(
        pygal.HorizontalBar,
        named[::-1],
        upwards,
        shown,
        height=height,
        show_x_labels=False,
        show_x_guides=False,
    )


def _drawn(
    kind: type,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    shown: Callable[[float], str],
    **options: object,
) -> str:
    chosen = {"show_legend": len(series) > 1, "height": HEIGHT, **options}
    chart = kind(
        style=_STYLE,
        js=(),
        width=WIDTH,
        explicit_size=False,
        disable_xml_declaration=True,
        legend_at_bottom=True,
        show_minor_x_labels=False,
        truncate_label=-1,
        include_x_axis=True,
        **chosen,
    )
    chart.x_labels = list(labels)
    if kind is not pygal.HorizontalBar:
        chart.x_labels_major = list(labels)[:: -(-len(labels) // LABELS_MAX) or 1]
        chart.y_labels = even(max((value for values in series.values() for value in values), default=0))
    chart.value_formatter = shown
    for name, values in series.items():
        chart.add(name, list(values))
    return _EXTRAS.sub("", chart.render(is_unicode=True))


def even(most: float) -> list[float]:
    """Return a few values from 0 up to `most` and a little beyond, each round in powers of 1,024."""
    unit = 1024 ** int(math.log(most, 1024)) if most >= 1 else 1
    step = next(n * unit for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if most <= STEPS * n * unit)
    return [float(step * number) for number in range(math.ceil(most / step) + 1)]
