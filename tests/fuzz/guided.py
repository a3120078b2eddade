"""Coverage-guided fuzzing of every reader of bytes, with libFuzzer: each target in a process of its own.

    python -m tests.fuzz.guided --minutes 60 --jobs 2

Needs Atheris (libFuzzer for Python), which `make fuzz` installs in an environment of its own. A target is fuzzed twice:
with the loops as Python, which is slow and where every branch guides the fuzzer, and with compiled loops, which is fast
and goes on from the inputs that the first found. They are kept in build/fuzz-corpus; `--merge` takes the few of them
that reach all branches into tests/fuzz/corpus, which the tests read. Where there is clang, the C reader and writer are
fuzzed as well, with sanitizers.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus_files import COMMITTED, MOST_BYTES, MOST_INPUTS, replace, write_inputs
from tests.fuzz.in_c import C_TARGETS, LONGEST, clang, fuzzer
from tests.fuzz.targets.table import TARGETS

FOUND, FINDINGS = Path("build/fuzz-corpus"), Path("build/fuzz-findings")
_MOST_MEMORY, _MOST_SECONDS = 2048, 10  # MB of a process; of one input, whose seconds are those of a busy machine
_START_SECONDS = 120  # for imports, and for what is found so far to be run again
_PURE, _COMPILED, _C = "pure", "compiled", "c"
_STATE = re.compile(r"cov: (\d+) ft: (\d+)")
_EXECUTED = re.compile(r"number_of_executed_units: (\d+)")
_PER_SECOND = re.compile(r"average_exec_per_sec: *(\d+)")


@dataclass(frozen=True)
class Job:
    """A target in one form: a program with the arguments of libFuzzer.

    Attributes:
        target: name of the target, and of its folders of inputs.
        form: of its loops.
        command: the program, up to the arguments of libFuzzer.
    """

    target: str
    form: str
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """For files and tables."""
        return f"{self.target}-{self.form}"

    @property
    def environment(self) -> dict[str, str]:
        """Of the process."""
        pure = {"SURP_FL_PURE_PYTHON": "1"} if self.form == _PURE else {}
        same_path = {"PYTHONSAFEPATH": "1"} if sys.flags.safe_path else {}  # a build that checks indices comes first
        return {**os.environ, "OPENBLAS_NUM_THREADS": "1", **pure, **same_path}

    def run(self, arguments: Sequence[str | Path], seconds: float) -> subprocess.CompletedProcess[str]:
        """Run it to its end; libFuzzer tells on standard error."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=seconds,
        )


@dataclass(frozen=True)
class Outcome:
    """What a job did.

    Attributes:
        job: this one.
        executed: inputs that were run.
        per_second: of these, on average.
        branches: that were reached; of the modules which are seen in the job's form.
        features: branches by how often each was taken.
        inputs: that the target has now.
        findings: files, each with an input for which the target fails.
        failed: what was said at the end, if the job failed without a finding.
    """

    job: Job
    executed: int
    per_second: int
    branches: int
    features: int
    inputs: int
    findings: list[Path]
    failed: str = ""


def jobs_of(targets: Sequence[str], forms: Sequence[str]) -> list[Job]:
    """All jobs, in the order in which they are begun."""
    jobs = []
    for target in targets:
        if target in C_TARGETS:
            program = str(fuzzer(target, FOUND.parent / "fuzz-c"))
            jobs.append(Job(target, _C, (program, f"-max_len={LONGEST[target]}", "-entropic=0")))
    for form, target in itertools.product(forms, [each for each in targets if each in TARGETS]):
        command = (sys.executable, "-m", "tests.fuzz.under_atheris", TARGETS[target].one.__module__, target)
        jobs.append(Job(target, form, command))
    return jobs


def fuzz(job: Job, seconds: int) -> Outcome:
    """Fuzz for so many seconds, or until the first finding."""
    inputs, prefix = FOUND / job.target, FINDINGS / f"{job.name}-"
    FINDINGS.mkdir(parents=True, exist_ok=True)
    write_inputs(TARGETS[job.target].seeds() if job.target in TARGETS else [b"\0\0\0"], inputs)
    committed = [COMMITTED / job.target] if (COMMITTED / job.target).is_dir() else []
    before = set(FINDINGS.iterdir())
    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MOST_MEMORY}", f"-timeout={_MOST_SECONDS}"]
    kept = ["-keep_seed=1"] if job.form == _COMPILED else []  # what reached branches that are not seen here
    arguments: list[str | Path] = [
        *limits,
        *kept,
        "-print_final_stats=1",
        f"-artifact_prefix={prefix}",
        inputs,
        *committed,
    ]
    try:
        done = job.run(arguments, seconds + _START_SECONDS + _MOST_SECONDS)
        told, code = done.stderr, done.returncode
    except subprocess.TimeoutExpired as fault:
        told, code = str(fault), -1
    (FINDINGS.parent / "fuzz-logs").mkdir(exist_ok=True)
    (FINDINGS.parent / "fuzz-logs" / f"{job.name}.log").write_text(told)
    findings = sorted(path for path in set(FINDINGS.iterdir()) - before if path.name.startswith(prefix.name))
    branches, features = (_STATE.findall(told) or [("0", "0")])[-1]
    return Outcome(
        job,
        _number(_EXECUTED, told),
        _number(_PER_SECOND, told),
        int(branches),
        int(features),
        len(list(inputs.iterdir())),
        findings,
        told[-2000:] if code and not findings else "",
    )


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1]) if found else 0


def merge(job: Job) -> int:
    """Take the fewest inputs that reach what all do into the committed corpus; gives how many there are."""
    with tempfile.TemporaryDirectory() as folder:
        smallest = Path(folder) / "smallest"
        smallest.mkdir()
        known = [each for each in (COMMITTED / job.target, FOUND / job.target) if each.is_dir()]
        done = job.run(["-set_cover_merge=1", f"-timeout={_MOST_SECONDS}", smallest, *known], 600)
        if done.returncode:
            raise RuntimeError(f"{job.name} cannot be merged: {done.stderr[-2000:]}")
        return replace(job.target, [path.read_bytes() for path in smallest.iterdir()])


def table(outcomes: Sequence[Outcome]) -> str:
    """What was done, a line for each job."""
    lines = [f"{'target':<24}{'executed':>10}{'a second':>10}{'branches':>10}{'features':>10}{'inputs':>8}  findings"]
    for each in outcomes:
        fault = "failed: see build/fuzz-logs" if each.failed else ", ".join(map(str, each.findings)) or "none"
        lines.append(
            f"{each.job.name:<24}{each.executed:>10,}{each.per_second:>10,}{each.branches:>10,}{each.features:>10,}"
            f"{each.inputs:>8,}  {fault}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Fuzz or merge, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60, help="for all targets together (%(default)s)")
    every = [*TARGETS, *(C_TARGETS if clang() else ())]
    parser.add_argument("--targets", nargs="+", choices=every, default=every, metavar="TARGET")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (%(default)s)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--pure", action="store_const", const=[_PURE], dest="forms", help="with loops as Python alone")
    form.add_argument("--compiled", action="store_const", const=[_COMPILED], dest="forms", help="compiled alone")
    form.add_argument("--merge", action="store_true", help=f"at most {MOST_INPUTS} inputs, {MOST_BYTES} B a target")
    options = parser.parse_args(arguments)
    jobs = jobs_of(options.targets, [_PURE] if options.merge else options.forms or [_PURE, _COMPILED])
    with ThreadPoolExecutor(options.jobs) as pool:
        if options.merge:
            for job, count in zip(jobs, pool.map(merge, jobs), strict=True):
                print(f"{job.target}: {count} inputs", flush=True)
            return 0
        seconds = max(1, round(60 * options.minutes * options.jobs / len(jobs)))
        outcomes = list(pool.map(lambda job: fuzz(job, seconds), jobs))
    print(table(outcomes))
    for each in outcomes:
        if each.failed:
            print(f"\n{each.job.name} failed:\n{each.failed}")
    return int(any(each.findings or each.failed for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
