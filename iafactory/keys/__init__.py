"""The operator's keys: whether they work (`checking`), and whether one got out (`scanning`)."""
