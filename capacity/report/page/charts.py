"""The figures of the page as specifications of Vega-Lite, made with Altair, and the scripts that draw them.

Data come from the page: a specification names the data set `points`, and the page's scripts fill it. Colors are the
variables of the page's style, so that figures follow light, dark and print without being drawn again. Altair and the
bundle are imported when they are needed, as they take a second.
"""

from functools import cache
from typing import Any

_INK, _FAINT, _GRID = "var(--ink)", "var(--faint)", "var(--grid)"
_FONT = "system-ui, sans-serif"
_TOOLTIP = "id:Q"
"""The field that makes a mark answer to the pointer; what is said is written by the page's scripts."""


@cache
def scripts() -> str:
    """Vega, Vega-Lite and vega-embed as one script without network; it sets `vegaEmbed`."""
    import vl_convert

    # An inline script ends at "</script", and "<!--" can hide that end.
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def specifications() -> dict[str, Any]:
    """The figures by name: `law`, and `curve` of a run."""
    return {"law": _law(), "curve": _curve()}


def _law() -> dict[str, Any]:
    """R against P or N. Fields of points: id, x, y, low, high, line, color, strong, hollow. Of levels: y, label."""
    import altair as alt

    points = alt.Chart(alt.NamedData(name="points"))
    x = alt.X("x:Q").scale(type="log", nice=False, padding=14).axis(format="~s", tickCount=5, grid=False)
    y = alt.Y("y:Q").scale(zero=True).axis(tickCount=6)
    color = alt.Color("color:N").scale(domain=[], range=[]).legend(None)
    strong, weak = "datum.strong", "!datum.strong"
    levels = alt.Chart(alt.NamedData(name="levels"))
    rules = levels.mark_rule(stroke=_FAINT, strokeDash=[2, 3]).encode(y=alt.Y("y:Q"))
    names = levels.mark_text(align="right", dy=-6, fontSize=11, color=_FAINT).encode(
        x=alt.value("width"), y=alt.Y("y:Q"), text="label:N"
    )
    lines = (
        points.transform_filter(strong)
        .mark_line(strokeWidth=1.6)
        .encode(x=x, y=y, color=color, detail="line:N", order="x:Q")
    )
    bars = points.transform_filter(strong).mark_rule(strokeWidth=1.2).encode(x=x, y="low:Q", y2="high:Q", color=color)
    others = (
        points.transform_filter(weak)
        .mark_circle(size=26, opacity=0.38, cursor="pointer")
        .encode(x=x, y=y, color=color, tooltip=_TOOLTIP)
    )
    full = (
        points.transform_filter(f"{strong} && !datum.hollow")
        .mark_circle(size=62, opacity=1, cursor="pointer")
        .encode(x=x, y=y, color=color, tooltip=_TOOLTIP)
    )
    hollow = (
        points.transform_filter(f"{strong} && datum.hollow")
        .mark_point(size=52, fill="var(--paper)", strokeWidth=1.8, opacity=1, cursor="pointer")
        .encode(x=x, y=y, color=color, tooltip=_TOOLTIP)
    )
    return _finished(alt.layer(rules, names, others, lines, bars, full, hollow), 300)


def _curve() -> dict[str, Any]:
    """A measurement of a run against exposures. Fields of points: x, y. Of levels: y, label."""
    import altair as alt

    x = alt.X("x:Q").scale(type="log", nice=False, padding=8).axis(format="~s", tickCount=5, grid=False)
    y = alt.Y("y:Q").scale(zero=True).axis(tickCount=4)
    points = alt.Chart(alt.NamedData(name="points")).encode(x=x, y=y)
    levels = alt.Chart(alt.NamedData(name="levels"))
    rules = levels.mark_rule(stroke=_FAINT, strokeDash=[2, 3]).encode(y=alt.Y("y:Q"))
    names = levels.mark_text(align="left", dx=2, dy=7, fontSize=11, color=_FAINT).encode(
        x=alt.value(0), y=alt.Y("y:Q"), text="label:N"
    )
    line = points.mark_line(strokeWidth=1.6, color="var(--c1)")
    dots = points.mark_circle(size=34, opacity=1, color="var(--c1)").encode(tooltip=_TOOLTIP)
    return _finished(alt.layer(rules, names, line, dots), 170)


def _finished(chart: Any, height: int) -> dict[str, Any]:
    """The specification in the page's style, as wide as its place."""
    styled = (
        chart.properties(width="container", height=height, autosize={"type": "fit-x", "contains": "padding"})
        .configure(background="transparent", padding=4, font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_INK, titleColor=_INK, domainColor=_FAINT, tickColor=_FAINT, gridColor=_GRID,
            labelFontSize=11, titleFontSize=12, titleFontWeight="normal",
        )
    )  # fmt: skip
    specification: dict[str, Any] = styled.to_dict()
    return specification
