"""Fuzz the parsers of foreign text: `python -m faults.fuzz`, or `python -m faults.fuzz redaction --runs 50000`.

Says how many inputs each parser stood and in how many seconds. A finding is printed with its traceback and the input,
as a line for `tests/fuzz/corpus`; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from faults import report
from faults.fuzz import corpus
from faults.fuzz.targets import TARGETS

_SLOWEST_SECONDS = 10
"""One input that takes longer is a finding: whoever chooses the text would stop the operator's work with it."""
_WHOLE = 1_000_000
"""Inputs of each target from which a run of all of them is kept as a result."""
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Result:
    """What one target did."""

    target: str
    inputs: int
    seconds: float
    findings: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after another."""
    options = _parser().parse_args(arguments)
    results = [_fuzzed(name, options) for name in options.targets or [target.name for target in TARGETS]]
    for result in results:
        print(f"{result.target:16} {result.inputs:>9,} inputs {result.seconds:8.1f} s {result.findings} findings")
    if options.runs >= _WHOLE and not options.targets:
        report.keep_fuzzing([asdict(result) for result in results], seed=options.seed)
        report.write()
    return int(any(result.findings for result in results))


def _fuzzed(name: str, options: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        grown, starting, found = (Path(folder) / part for part in ("grown", "starting", "found"))
        for path in (grown, starting, found):
            path.mkdir()
        for number, data in enumerate(corpus.starting(name)):
            (starting / f"{number:05}").write_bytes(data)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in corpus.WORDS), encoding="ascii")
        flags = (f"-dict={words}", f"-seed={options.seed}", f"-runs={options.runs}", f"-artifact_prefix={found}/")
        began = time.monotonic()
        output = _mutated(name, *flags, "-keep_seed=1", "-print_final_stats=1", str(grown), str(starting))
        seconds = round(time.monotonic() - began, 1)
        done = _DONE.findall(output)
        findings = [path.read_bytes() for path in sorted(found.iterdir())]
        for data in findings:
            print(f"{name}: an input for {corpus.KEPT / name}.txt:\n{json.dumps(data.decode('latin-1'))}")
    return Result(name, int(done[-1]) if done else 0, seconds, len(findings) or int(not done))


def _mutated(name: str, *flags: str) -> str:
    """Run libFuzzer, let its output through, and return it."""
    argv = [sys.executable, "-m", "faults.fuzz.mutating", name, f"-timeout={_SLOWEST_SECONDS}", *flags]
    lines = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_environ()) as process:
        for line in process.stdout or ():
            lines.append(line.decode(errors="replace"))
            if not re.match(r"#\d+\s+(?:REDUCE|NEW|RELOAD)|INFO: Instrumenting", lines[-1]):
                print(f"{name}: {lines[-1]}", end="", flush=True)
    return "".join(lines)


def _environ() -> dict[str, str]:
    """Return the environment without the measuring of coverage, which would measure libFuzzer's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}


def _escaped(word: str) -> str:
    return "".join(char if char.isalnum() else f"\\x{ord(char):02x}" for char in word)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults.fuzz", description=__doc__)
    names = [target.name for target in TARGETS]
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}; all unless given")
    parser.add_argument("--runs", type=int, default=_WHOLE, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
