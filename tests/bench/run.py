"""The bench: what e2eproxy costs beside relays that do less, and beside one that does it the usual way.

    python tests/bench/run.py [--quick] [--only framer,echo,chat,memory,clients,control,otr]
                                [--json FILE] [--into FILE]

Prints Markdown tables, then the limits that have to be kept; ``--json`` writes all values of all repetitions, ``--into``
puts what is printed into a document, in the place of the previous run's. The full
run takes about ten minutes, ``--quick`` under two, with fewer and shorter repetitions: good for a look, not for a verdict.
These are measurements, not tests: a missed limit is printed, the exit status stays 0.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]  # the bed, and the checkout this bench belongs to

import chat_part  # noqa: E402 - after the path
import clients_part  # noqa: E402 - after the path
import control_part  # noqa: E402 - after the path
import echo_part  # noqa: E402 - after the path
import framer_part  # noqa: E402 - after the path
import machine  # noqa: E402 - after the path
import memory_part  # noqa: E402 - after the path
import otr_part  # noqa: E402 - after the path
import report  # noqa: E402 - after the path
from rows import Bench  # noqa: E402 - after the path

PARTS = {
    "framer": ("The framer, in memory", framer_part),
    "echo": ("Whole processes, 350-byte stanzas, echo server", echo_part),
    "chat": ("Chat on Prosody, archive off", chat_part),
    "memory": ("Memory, upstream TLS", memory_part),
    "clients": ("One client and a thousand", clients_part),
    "control": ("A hundred at the control socket", control_part),
    "otr": ("OTR beside libotr", otr_part),
}
LONGEST_SECONDS = {True: 480, False: 1500}  # quick, full: a bench that hangs ends here
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def chosen(text: str) -> list[str]:
    """Return the parts named in *text*, in the bench's order."""
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the parts are {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def stop(signum: int, _frame: object) -> None:
    """End like any other failure, so that every process that was started is ended too."""
    raise SystemExit(f"ended by {signal.Signals(signum).name}")


class Output:
    """What is printed, line by line, and kept for a document."""

    def __init__(self) -> None:
        self.text = ""

    def say(self, text: str) -> None:
        self.text += text + "\n"
        print(text, flush=True)

    def put_into(self, document: Path) -> None:
        """Replace what stands between the marks in *document*."""
        head, begin, rest = document.read_text().partition(BEGIN)
        _, end, tail = rest.partition(END)
        if not end:
            raise SystemExit(f"{document} has no place for the tables: it needs {BEGIN} and {END}")
        document.write_text(f"{head}{begin}\n{self.text}{end}{tail}")


def run_part(name: str, bench: Bench, quick: bool, output: Output) -> tuple[dict, list[report.Verdict]]:
    """Run one part, print its table."""
    title, part = PARTS[name]
    result, verdicts = part.run(quick) if part is framer_part else part.run(bench, quick)
    if result:
        about = part.__doc__.partition("\n\n")[2].strip()
        output.say(f"\n## {title}\n\n{about}\n\n{report.table(*part.table(result))}")
    return result, verdicts


def run_parts(arguments: argparse.Namespace, output: Output) -> dict:
    """Run all parts that were asked for; return everything for the JSON file."""
    began, others = time.monotonic(), machine.Others()
    verdicts: list[report.Verdict] = []
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        bench = Bench(Path(scratch))
        facts = machine.describe(bench.cores)
        output.say("\n".join(f"* {name}: {value}" for name, value in facts.items()))
        for name in arguments.only:
            results[name], found = run_part(name, bench, arguments.quick, output)
            verdicts += found
    facts["run"] = (
        f"{'quick' if arguments.quick else 'full'}, {time.monotonic() - began:.0f} s; "
        f"other programs used {others.share():.1f} % of all cores meanwhile"
    )
    output.say(f"\n## Limits\n\n{report.verdict_table(verdicts)}\n\nRun: {facts['run']}.")
    return {
        "machine": facts,
        "quick": arguments.quick,
        "parts": results,
        "limits": [verdict.as_dict() for verdict in verdicts],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter repetitions, under two minutes"
    )
    parser.add_argument(
        "--only", type=chosen, default=list(PARTS), help="parts, with commas: " + ", ".join(PARTS)
    )
    parser.add_argument("--json", type=Path, help="write all values there")
    parser.add_argument("--into", type=Path, help="put the tables into this document, between its marks")
    arguments = parser.parse_args()
    for signum in (signal.SIGTERM, signal.SIGALRM, signal.SIGHUP):
        signal.signal(signum, stop)
    signal.alarm(LONGEST_SECONDS[arguments.quick])
    output = Output()
    document = run_parts(arguments, output)
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.into:
        output.put_into(arguments.into)


if __name__ == "__main__":
    main()
