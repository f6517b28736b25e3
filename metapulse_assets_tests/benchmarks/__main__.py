"""``python -m metapulse_assets_tests.benchmarks [ONLY]``: measure, show, and write `docs/benchmarks.md` and `.json`."""

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from metapulse_assets.platform.settings import project_root
from metapulse_assets_tests.benchmarks import report
from metapulse_assets_tests.benchmarks.display import Display
from metapulse_assets_tests.benchmarks.machine import Circumstances
from metapulse_assets_tests.benchmarks.parts import PARTS
from metapulse_assets_tests.benchmarks.rows import Bench, Part, Row


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit code is 1 if a part failed, 2 if there is no such part."""
    chosen = _parse(arguments)
    asked = Bench(chosen.only, chosen.quick)
    selected = [part for part in PARTS if asked.wants(f"{part.name}.")]
    if not selected:
        print(f"no row begins with {chosen.only!r}; parts: {', '.join(part.name for part in PARTS)}", file=sys.stderr)
        return 2
    folder: Path | None = chosen.out or (None if chosen.quick else project_root() / "docs")
    failed = False
    with Display(PARTS) as display:
        for part in selected:
            bench = Bench(chosen.only, chosen.quick, display.say)
            before = Circumstances.now()
            rows: list[Row] = []
            try:
                for row in part.measure(bench):
                    rows.append(row)
                    display.add(row)
                whole = True
            except Exception:
                failed, whole = True, False
                display.fail(part.name, traceback.format_exc())
            if folder is not None and rows:
                _write(folder, part, rows, chosen.only, whole, before.until_now())
    return int(failed)


def _write(folder: Path, part: Part, rows: list[Row], only: str, whole: bool, circumstances: Circumstances) -> None:
    """Take the rows into the report; those of a part that failed half-way push none of the older ones out."""
    covered = only if only.startswith(f"{part.name}.") else part.name
    merged = report.merge(report.read_rows(folder), rows, covered if whole else "", PARTS)
    report.write(folder, merged, PARTS, {covered: circumstances})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m metapulse_assets_tests.benchmarks", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="measure only rows that begin so: tick, tick.1000, storage, …")
    parser.add_argument("--quick", action="store_true", help="a small version, to see that it runs; writes nothing")
    parser.add_argument("--out", type=Path, help="folder of the report (default docs; with --quick none)")
    return parser.parse_args(arguments)


def _stop(number: int, frame: FrameType | None) -> None:
    """End as by Ctrl-C, so that everything that was started is stopped."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for stop_signal in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop_signal, _stop)
    sys.exit(main())
