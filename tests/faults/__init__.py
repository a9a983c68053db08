"""The promises under fire: the whole product under load, one fault after the other, and then the books.

books     what was billed, what was written down, and what the one says against the other: `audit`
stage     the product under its own supervisor, on a PostgreSQL and a Redis that can be hurt
line      a slow line to Redis: a small TCP proxy
load      people who call all the time: plain, streamed, hanging up
faults    what goes wrong, one by one
__main__  `make faults`: all of them, a table, status 1 on any violation
"""
