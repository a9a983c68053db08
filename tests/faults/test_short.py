"""The short form of `make faults`: the running product under load, one blow after the other, and its books."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .__main__ import settings_of, standin
from .faults import SHORT
from .rounds import play
from .stage import NANO, Stage, copy_template, make_template

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def test_nothing_is_overspent_lost_or_counted_twice(tmp_path: Path) -> None:
    # The server of the tests, with a database of its own: the processes of a running product and a test that empties
    # tables would wait for each other.
    admin = urlsplit(os.environ["POSTGRES_URL"])._replace(path="/postgres").geturl()
    settings = settings_of(SHORT)
    people = make_template(admin, settings, tmp_path / "template")
    stage = Stage(
        folder=tmp_path,
        postgres_url=copy_template(admin, "fire_short"),
        standin=standin(),
        people=people,
        environment=settings,
        # So little that it is spent in the middle of it.
        budget=NANO // 20,
    )
    try:
        report = play(stage, SHORT)
    finally:
        stage.close()
        stage.standin.close()
    assert report.violations == []
    # It was no stroll: the money came to its end, and calls were refused.
    assert report.attempts > 50
    assert report.accounted > stage.budget // 2
    assert {200, 503} <= report.statuses.keys()
