"""Loss curves of finished runs as one SVG: ``python -m benchmarks.learning_curves OUT.svg RUN_ROOT ...``.

Each root is the storage root of a run with the default tracking database. Its stages are drawn one after the
other, as running means over 50 steps.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlflow.tracking import MlflowClient

PANELS = (("loss/text", "text loss per token"), ("loss/bce", "mask BCE"), ("loss/dice", "mask Dice loss"))
COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c")
WIDTH, HEIGHT, LEFT, TOP, GAP, WINDOW = 300, 180, 44, 26, 26, 50


def history(root: Path, metric: str) -> tuple[list[float], int]:
    """Values of both stages in order, and how many of them belong to the first."""
    client = MlflowClient(f"sqlite:///{root.resolve()}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = sorted(
        (
            r
            for r in client.search_runs(experiments)
            if r.data.tags.get("ufvideo.step", "").startswith("stage")
        ),
        key=lambda r: r.info.start_time,
    )
    parts = [
        [p.value for p in sorted(client.get_metric_history(r.info.run_id, metric), key=lambda p: p.step)]
        for r in runs
    ]
    return [value for part in parts for value in part], len(parts[0])


def smooth(values: list[float]) -> list[float]:
    """Running means over the last WINDOW values."""
    return [
        sum(part) / len(part) for part in (values[max(0, i + 1 - WINDOW) : i + 1] for i in range(len(values)))
    ]


def panel(title: str, curves: list[tuple[list[float], int]], x0: int) -> list[str]:
    """One chart: axes, the boundary between the stages, a line per run."""
    drawn = [(smooth(values)[WINDOW // 2 :], first) for values, first in curves]
    top = max(max(values[100:] or values) for values, _ in drawn) * 1.1
    longest = max(len(values) for values, _ in drawn)

    def place(step: int, value: float) -> str:
        x = x0 + LEFT + step / longest * WIDTH
        y = TOP + HEIGHT - min(value, top) / top * HEIGHT
        return f"{x:.1f},{y:.1f}"

    left, bottom = x0 + LEFT, TOP + HEIGHT
    out = [
        f'<text x="{left}" y="16" font-weight="bold">{title}</text>',
        f'<path d="M{left},{TOP} V{bottom} H{left + WIDTH}" fill="none" stroke="#888"/>',
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{left - 6}" y="{TOP + 10}" text-anchor="end">{top:.2g}</text>',
        f'<text x="{left + WIDTH}" y="{bottom + 16}" text-anchor="end">{longest + WINDOW // 2} steps</text>',
    ]
    border = left + (drawn[0][1] - WINDOW // 2) / longest * WIDTH
    out.append(f'<path d="M{border:.1f},{TOP} V{bottom}" stroke="#bbb" stroke-dasharray="4 4"/>')
    for colour, (values, _) in zip(COLOURS, drawn, strict=False):
        points = " ".join(place(i, v) for i, v in enumerate(values) if i % 4 == 0)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return out


def main(out: Path, roots: list[Path]) -> None:
    """Draw and write."""
    step = WIDTH + LEFT + GAP
    body = [
        line
        for k, (metric, title) in enumerate(PANELS)
        for line in panel(title, [history(root, metric) for root in roots], k * step)
    ]
    names = " ".join(
        f'<text x="{LEFT + 150 * k}" y="{TOP + HEIGHT + 38}" fill="{colour}">{root.name}</text>'
        for k, (colour, root) in enumerate(zip(COLOURS, roots, strict=False))
    )
    size = f'width="{3 * step}" height="{TOP + HEIGHT + 50}" viewBox="0 0 {3 * step} {TOP + HEIGHT + 50}"'
    style = 'font-family="sans-serif" font-size="12" fill="#444"'
    out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(body) + f"\n{names}\n</svg>\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(root) for root in sys.argv[2:]])
