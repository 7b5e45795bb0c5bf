"""An SVG of the bench's results: CPU time per message by size, a bar a taker, on a logarithmic scale."""

from math import log10
from xml.sax.saxutils import escape

from rows import PEER, RAW, SINK, SIZES, SMART, size_name

WIDTH, LEFT, BAR, GAP = 760, 190, 16, 22
COLOURS = {RAW: "#b8b8b8", PEER: "#c0603c", SINK: "#2c6fa8", SMART: "#63a5d8"}


def text(x: float, y: float, content: str, anchor: str = "start", size: int = 12) -> str:
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-family="sans-serif" '
            f'font-size="{size}">{escape(content)}</text>')


def bars(results) -> str:
    groups = []
    for size in SIZES:
        title = f"{size_name(size)}, 20 connections, pipelined"
        row = next((r for r in results.rows if r.title == title), None)
        if row is not None:
            groups.append((title, {taker: row.us(taker) for taker in COLOURS if taker in row.figures}))
    most = max((us for _, values in groups for us in values.values()), default=10.0)
    scale = (WIDTH - LEFT - 80) / log10(most)
    height = 44 + sum(len(values) * BAR + GAP for _, values in groups)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             text(LEFT, 20, "CPU time of the sink per message, µs, logarithmic scale", size=13)]
    y = 34.0
    for title, values in groups:
        parts.append(text(LEFT - 8, y + len(values) * BAR / 2 + 4, title.replace(" connections", ""), "end", 11))
        for taker, us in values.items():
            width = max(1.0, log10(max(us, 1.01)) * scale)
            parts.append(f'<rect x="{LEFT}" y="{y:.0f}" width="{width:.0f}" height="{BAR - 2}" '
                         f'fill="{COLOURS[taker]}"/>')
            parts.append(text(LEFT + width + 6, y + BAR - 5, f"{taker} {us:,.1f}", size=11))
            y += BAR
        y += GAP
    return "\n".join([*parts, "</svg>", ""])
