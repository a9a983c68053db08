"""Measurements: `make bench-streams` holds many streams at once through the running product.

The product is started as `make run` starts it, and measured from outside.

rig        the product for a measurement: embedded servers as durable as `make run`'s, gunicorn, the drainer
upstream   the provider, fast enough not to be what is measured (a process of its own)
load       the callers (processes of their own)
processes  what a tree of processes used: CPU, memory
"""
