"""`make faults`: every fault in turn; a table, also in `var/faults.md`; status 1 on any violation."""

import argparse
import sys
import time
import traceback
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from iafactory.run import BASE
from tests.standins.provider import ProviderStandIn

from .faults import FAULTS, Fault
from .rounds import Report, play
from .stage import Postgres, Stage, copy_template, environment, fresh, make_template

ALGIERS = ZoneInfo("Africa/Algiers")
HEAD = (
    "| fault | calls | answers | attempts | rows | of them estimated | billed USD | accounted USD "
    "| most spent and held | violations |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names (or parts) of the faults to play; all when none is given")
    parser.add_argument("--var", type=Path, default=BASE / "var" / "faults", help="where the suite works")
    arguments = parser.parse_args()
    chosen = [f for f in FAULTS if not arguments.only or any(part in f.name for part in arguments.only)]
    reports = play_all(chosen, fresh(arguments.var.resolve()))
    text = table(reports)
    print(text, flush=True)
    (BASE / "var" / "faults.md").write_text(text + "\n")
    return 1 if any(report.violations for report in reports) else 0


def play_all(faults: list[Fault], folder: Path) -> list[Report]:
    postgres = Postgres(folder / "postgres")
    reports = []
    try:
        people = make_template(postgres.url, environment(), folder / "template")
        for number, fault in enumerate(faults):
            print(f"{datetime.now(ALGIERS):%H:%M:%S} {fault.name}", flush=True)
            stage = Stage(
                folder=fresh(folder / f"round{number:02}"),
                postgres_url=copy_template(postgres.url, f"round{number:02}"),
                standin=standin(),
                people=people,
                environment=settings_of(fault),
                postgres=postgres,
                line_wanted=fault.slow_line,
            )
            reports.append(one(stage, fault))
    finally:
        postgres.kill()
    return reports


def one(stage: Stage, fault: Fault) -> Report:
    try:
        report = play(stage, fault)
    except Exception as error:  # noqa: BLE001 (the others are played all the same)
        traceback.print_exc()
        report = Report(fault.name, violations=[f"the round broke: {type(error).__name__}: {error}"])
    finally:
        stage.close()
        stage.standin.close()
    for violation in report.violations[:20]:
        print(f"    VIOLATION: {violation}", flush=True)
    print(f"    {report.calls} calls, {len(report.violations)} violations, {report.seconds:.0f} s", flush=True)
    return report


def standin() -> ProviderStandIn:
    """It bills the dearest that it may: every byte a token, and all the output that was allowed."""
    made = ProviderStandIn()
    for name in ("openrouter", "groq"):
        books = made[name]
        books.seconds, books.pace, books.words = 0.15, 0.03, ["mot"] * 30
        books.output_tokens, books.input_tokens_per_byte = None, Decimal(1)
    return made


def settings_of(fault: Fault) -> dict[str, str]:
    if fault.before_midnight is None:
        return environment()
    now = datetime.now(ALGIERS)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return environment() | {"CLOCK_SHIFT_SECONDS": str((midnight - now).total_seconds() - fault.before_midnight)}


def table(reports: list[Report]) -> str:
    lines = [HEAD]
    for r in reports:
        answers = ", ".join(f"{status or 'none'}: {number}" for status, number in sorted(r.statuses.items()))
        money = (r.billed / 10**9, r.accounted / 10**9, r.peak / 10**9)
        lines.append(
            f"| {r.fault} | {r.calls} | {answers} | {r.attempts} | {r.rows} | {r.estimated} | {money[0]:.6f} "
            f"| {money[1]:.6f} | {money[2]:.6f} | {len(r.violations)} |"
        )
    lines.append("")
    lines += [f"- **{r.fault}**: {violation}" for r in reports for violation in r.violations]
    total = sum(len(r.violations) for r in reports)
    calls = sum(r.calls for r in reports)
    lines.append(f"{len(reports)} rounds, {calls} calls, {total} violations; {time.strftime('%Y-%m-%d %H:%M')}.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
