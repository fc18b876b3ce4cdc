"""The week of a plan as SVG."""
from __future__ import annotations

import math

from arrivals import DAY, DAYS, STEP, STEPS
from plan import Plan
from simulate import Trace, incidents

WIDTH, LEFT, RIGHT, TOP, HEIGHT, GAP = 1000, 74, 14, 34, 130, 46
EVERY = 60  # steps in a point: ten minutes, of which the largest value is drawn
INK, QUIET, LINE, SECOND, SHADE = "#222222", "#777777", "#1f5fbf", "#c2571a", "#e9e4f2"
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


LEAST, MOST = 1e3, 1e6  # of the first panel, whose scale is logarithmic: a return of all clients is ten times a peak


def _round(top: float) -> float:
    """The next of 1, 2, 5 × 10^n."""
    scale = 1.0
    while scale * 10 <= top:
        scale *= 10
    while scale > top:
        scale /= 10
    return next(scale * step for step in (1, 2, 5, 10) if scale * step >= top)


def draw(plan: Plan, trace: Trace) -> str:
    panels = [
        ("Events a second that reach the nodes (orange: what they can take)", [(trace.offered, LINE), (trace.capacity, SECOND)], lambda v: f"{v / 1000:g}k"),
        ("Seconds that results are behind", [(trace.lag_seconds, LINE)], lambda v: f"{v:g}"),
        ("GiB in the spool of each node", [([v / (1 << 30) for v in trace.spool], LINE)], lambda v: f"{v:g}"),
        ("Events kept back by clients, millions", [([v / 1e6 for v in trace.at_clients], LINE)], lambda v: f"{v:g}"),
    ]
    height = TOP + len(panels) * (HEIGHT + GAP)
    x = lambda step: LEFT + (WIDTH - LEFT - RIGHT) * step / STEPS
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
        f"<title>A simulated week of the plan {plan.name}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, lines, label) in enumerate(panels):
        top = TOP + number * (HEIGHT + GAP)
        if number == 0:
            ticks = (LEAST, 1e4, 1e5, MOST)
            y = lambda value: top + HEIGHT * (1 - math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST))
        else:
            peak = _round(max(max(values) for values, _ in lines) or 1.0)
            ticks = (0.0, peak / 2, peak)
            y = lambda value: top + HEIGHT * (1 - min(value, peak) / peak)
        for incident in incidents():
            # Short ones are drawn wide enough to be seen.
            begin, end = x(incident.begin / STEP), x(incident.end / STEP)
            out.append(f'<rect x="{begin:.1f}" y="{top}" width="{max(4.0, end - begin):.1f}" height="{HEIGHT}" fill="{SHADE}"/>')
            if number == 0 and incident.key != "none":
                out.append(f'<text x="{begin:.1f}" y="{top - 4}" text-anchor="middle" fill="{QUIET}">{incident.key}</text>')
        out.append(f'<text x="{LEFT}" y="{top - (18 if number == 0 else 5)}" fill="{INK}" font-weight="bold">{title}</text>')
        for tick in ticks:
            out.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#dddddd" stroke-width="1"/>')
            out.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="{QUIET}">{label(tick)}</text>')
        for values, colour in reversed(lines):
            # A capacity is drawn by its least, all else by its most.
            pick = min if colour == SECOND else max
            points = [(x(at), y(pick(values[at : at + EVERY]))) for at in range(0, STEPS, EVERY)]
            path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
            out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        for day in range(DAYS):
            out.append(f'<path d="M{x(day * DAY / STEP):.1f} {top + HEIGHT}v4" stroke="{QUIET}"/>')
            out.append(f'<text x="{x((day + 0.5) * DAY / STEP):.1f}" y="{top + HEIGHT + 15}" text-anchor="middle" fill="{QUIET}">{DAY_NAMES[day]}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"
