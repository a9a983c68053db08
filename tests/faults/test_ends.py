"""The suite counts an answer that was cut, whatever was cut of it."""

import pytest

from .faults import FAULTS, Fault, nothing
from .load import Outcome
from .rounds import ends

CALM = Fault("calm", nothing)
WHOLE = Outcome("m1", "plain", 200, 0.1, "whole")


@pytest.mark.parametrize(
    "cut",
    [
        Outcome("m2", "stream", 200, 0.1, "cut"),
        Outcome("m2", "plain", 200, 0.1, "cut"),
        Outcome("m2", "plain", 0, 0.1, "cut"),
    ],
    ids=["in a stream", "in a body", "before the head"],
)
def test_a_cut_answer_is_a_violation_unless_a_worker_was_killed(cut: Outcome) -> None:
    assert ends([WHOLE, cut], CALM) == ["1 answers were cut"]
    assert ends([WHOLE, cut], Fault("kill", nothing, kills=True)) == []


def test_a_refused_connection_is_no_cut_answer() -> None:
    assert ends([WHOLE, Outcome("m2", "plain", 0, 0.1, "refused")], CALM) == []


def test_an_answer_500_is_a_violation() -> None:
    assert ends([WHOLE, Outcome("m2", "plain", 500, 0.1, "whole")], CALM) == ["1 calls were answered 500"]


def test_every_fault_by_sigterm_counts_cut_answers() -> None:
    named = [fault for fault in FAULTS if "SIGTERM" in fault.name or "SIGHUP" in fault.name]
    assert len(named) == 3
    assert not any(fault.kills for fault in named)
