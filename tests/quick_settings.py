"""The product's, for one that many tests share: each of them waits for every process to hear of the counters that it
emptied."""

from iafactory.settings import *  # noqa: F403

USAGE_TICK_SECONDS = 0.1
