"""What goes wrong, one by one. Each is given the stage and the load, and takes the time that it takes."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.standins.provider import Misbehaviour, cut_body, cut_stream, error, error_in_stream, hang_and_bill

from .load import Load, Outcome
from .stage import Stage

# How long the load goes on before the fault, and after it is over.
BEFORE, AFTER = 4.0, 10.0
REFUSAL_SECONDS = 1.0
# What this machine, which runs the load and the stand-in too, may add to it.
LENIENCE_SECONDS = 1.0

Strike = Callable[[Stage, Load], list[str]]


@dataclass(frozen=True)
class Fault:
    """`strike` does the harm and mends it, and tells what it saw go wrong meanwhile. `kills`: it kills web workers, so
    answers may be cut. `unhurt`: no call may have been taken for dead."""

    name: str
    strike: Strike
    kills: bool = False
    slow_line: bool = False
    unhurt: bool = False
    # Seconds before midnight at which the product starts, by its own clock.
    before_midnight: float | None = None


def nothing(_stage: Stage, _load: Load) -> list[str]:
    time.sleep(8)
    return []


def kill_web_workers(stage: Stage, _load: Load) -> list[str]:
    for _ in range(2):
        stage.kill("web")
        time.sleep(4)
    return []


def kill(program: str) -> Strike:
    def strike(stage: Stage, _load: Load) -> list[str]:
        for _ in range(2):
            stage.kill(program)
            time.sleep(4)
        return []

    return strike


def redis_with_its_file(stage: Stage, _load: Load) -> list[str]:
    stage.redis.kill()
    time.sleep(1)
    stage.redis.start()
    time.sleep(5)
    return []


def redis_with_an_older_file(stage: Stage, _load: Load) -> list[str]:
    for _ in range(2):
        older = stage.redis.file.read_bytes()
        time.sleep(3)
        stage.redis.kill()
        stage.redis.comes_back(older)
        time.sleep(4)
    return []


def redis_with_nothing(stage: Stage, _load: Load) -> list[str]:
    for _ in range(2):
        stage.redis.kill()
        stage.redis.comes_back(None)
        time.sleep(5)
    return []


def redis_flushed(stage: Stage, _load: Load) -> list[str]:
    stage.redis.client.flushall()
    time.sleep(4)
    stage.redis.client.delete("budget:today:usd")
    time.sleep(4)
    return []


def redis_away(stage: Stage, load: Load) -> list[str]:
    """With two hundred calls at once in the middle of it."""
    stage.redis.kill()
    time.sleep(1)
    found = only_refusals(load.all_at_once(200), "away")
    time.sleep(25)
    found += only_refusals(load.all_at_once(20), "away for 25 s")
    stage.redis.start()
    time.sleep(5)
    return found


def redis_frozen(stage: Stage, load: Load) -> list[str]:
    """For longer than a lease."""
    stage.redis.client.client_pause(25_000)
    time.sleep(1)
    found = only_refusals(load.all_at_once(200), "frozen")
    time.sleep(max(0.0, 24 - 1))
    time.sleep(6)
    return found


def redis_slow(stage: Stage, load: Load) -> list[str]:
    assert stage.line is not None
    found = []
    for delay in (0.2, 0.5):
        stage.line.delay(delay)
        time.sleep(2)
        answers = load.all_at_once(60)
        found += only_refusals([answer for answer in answers if answer.status != 200], f"{delay} s slow", also=(429,))
        time.sleep(10)
    stage.line.delay(0)
    time.sleep(6)
    return found


def postgres_restarted(stage: Stage, _load: Load) -> list[str]:
    assert stage.postgres is not None
    for _ in range(2):
        stage.postgres.kill()
        stage.postgres.start()
        time.sleep(4)
    return []


def postgres_away(stage: Stage, load: Load) -> list[str]:
    assert stage.postgres is not None
    load.introduce_everyone()
    stage.postgres.kill()
    found = served_from_memory(load, 30, "away")
    stage.postgres.start()
    time.sleep(5)
    return found


def postgres_frozen(stage: Stage, load: Load) -> list[str]:
    assert stage.postgres is not None
    load.introduce_everyone()
    stage.postgres.signal_all(signal.SIGSTOP)
    found = served_from_memory(load, 30, "frozen")
    stage.postgres.signal_all(signal.SIGCONT)
    time.sleep(5)
    return found


def served_from_memory(load: Load, seconds: float, how: str) -> list[str]:
    """Each caller is known to each worker: calls are answered, and none as if its caller were unknown."""
    before = len(load.outcomes)
    time.sleep(seconds)
    meanwhile = load.outcomes[before:]
    served = sum(outcome.status == 200 for outcome in meanwhile)
    refused = sum(outcome.status in (401, 403, 503) for outcome in meanwhile)
    if served < 20 or refused:
        return [f"PostgreSQL {how}: {served} served, {refused} refused"]
    return []


def only_refusals(outcomes: list[Outcome], how: str, also: tuple[int, ...] = ()) -> list[str]:
    """503 for everybody, at once."""
    late = [o for o in outcomes if o.seconds > REFUSAL_SECONDS + LENIENCE_SECONDS]
    others = sorted({o.status for o in outcomes} - {503, *also})
    slowest = max((o.seconds for o in outcomes), default=0)
    print(f"    Redis {how}: {len(outcomes)} refused, the slowest after {slowest:.2f} s", flush=True)
    found = [f"Redis {how}: answered {others}"] if others else []
    return found + ([f"Redis {how}: {len(late)} of {len(outcomes)} waited up to {slowest:.1f} s"] if late else [])


def everything_stops_in_order(stage: Stage, _load: Load) -> list[str]:
    stage.stop()
    stage.start()
    time.sleep(4)
    return []


def web_workers_stop(stage: Stage, _load: Load) -> list[str]:
    """SIGTERM to one worker after the other; their master starts new ones."""
    for worker in stage.web_workers():
        worker.send_signal(signal.SIGTERM)
        worker.wait(45)
        time.sleep(4)
    return []


def rolling_restart(stage: Stage, _load: Load) -> list[str]:
    """SIGHUP to the master: it starts new workers, and stops the old ones."""
    for _ in range(2):
        old = stage.web_workers()
        stage.web_master().send_signal(signal.SIGHUP)
        for worker in old:
            worker.wait(60)
        time.sleep(4)
    return []


def provider(*faults: Misbehaviour | None) -> Strike:
    def strike(stage: Stage, _load: Load) -> list[str]:
        dice = random.Random(1)
        stage.standin["openrouter"].faults = [dice.choice(faults) for _ in range(10_000)]
        time.sleep(12)
        stage.standin["openrouter"].faults = []
        return []

    return strike


def until_past_midnight(stage: Stage, _load: Load) -> list[str]:
    day = stage.redis.client.get("budget:day")
    stage.wait_for(lambda: bool(stage.redis.client.get("budget:day") != day), 120)
    time.sleep(5)
    return []


def mixed(stage: Stage, load: Load) -> list[str]:
    """All of it, in an order by lot (no worker is killed while Redis forgets: see the guarantees)."""
    dice = random.Random(2)
    stage.standin["openrouter"].faults = [
        dice.choice([None, None, cut_stream(3), error(500), hang_and_bill(6)]) for _ in range(10_000)
    ]
    blows = [redis_with_an_older_file, redis_with_nothing, kill("drainer"), redis_flushed, redis_with_its_file]
    if stage.postgres is not None:
        blows.append(postgres_restarted)
    dice.shuffle(blows)
    found = [line for blow in blows for line in blow(stage, load)]
    stage.kill("web")
    time.sleep(4)
    stage.standin["openrouter"].faults = []
    return found


CUTS = (cut_stream(3), cut_body, error_in_stream(3), None)
FLOOD = (error(429, Retry_After="1"), error(429), None)

FAULTS = (
    Fault("none", nothing, unhurt=True),
    Fault("web workers killed", kill_web_workers, kills=True),
    Fault("drainer killed", kill("drainer"), unhurt=True),
    Fault("Celery worker killed", kill("worker"), unhurt=True),
    Fault("Redis back with its file", redis_with_its_file, unhurt=True),
    Fault("Redis back, older", redis_with_an_older_file, unhurt=True),
    Fault("Redis back, empty", redis_with_nothing, unhurt=True),
    Fault("Redis flushed, counter deleted", redis_flushed, unhurt=True),
    Fault("Redis away 30 s", redis_away, unhurt=True),
    Fault("Redis frozen 25 s", redis_frozen, unhurt=True),
    Fault("Redis slow, 200 and 500 ms", redis_slow, slow_line=True, unhurt=True),
    Fault("PostgreSQL restarted", postgres_restarted, unhurt=True),
    Fault("PostgreSQL away 30 s", postgres_away, unhurt=True),
    Fault("PostgreSQL frozen 30 s", postgres_frozen, unhurt=True),
    Fault("SIGTERM to everything", everything_stops_in_order),
    Fault("SIGTERM to web workers", web_workers_stop, unhurt=True),
    Fault("rolling restart (SIGHUP)", rolling_restart, unhurt=True),
    Fault("provider hangs", provider(hang_and_bill(6), None), unhurt=True),
    Fault("provider cuts", provider(*CUTS), unhurt=True),
    Fault("provider floods with 429", provider(*FLOOD), unhurt=True),
    Fault("midnight", until_past_midnight, unhurt=True, before_midnight=40),
    Fault("mixed", mixed, kills=True),
)


def short(stage: Stage, load: Load) -> list[str]:
    """For `make test`: one blow of each kind, in under a minute."""
    stage.standin["openrouter"].faults = [cut_stream(3), error(500), cut_body, *[None] * 10_000]
    stage.kill("drainer")
    time.sleep(1)
    older = stage.redis.file.read_bytes()
    time.sleep(2)
    stage.redis.kill()
    stage.redis.comes_back(older)
    time.sleep(3)
    stage.redis.kill()
    found = only_refusals(load.all_at_once(50), "away")
    stage.redis.comes_back(None)
    time.sleep(3)
    stage.kill("web")
    return found


SHORT = Fault("short form", short, kills=True)
