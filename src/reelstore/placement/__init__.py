"""Consistent hashing over a partition table: pure functions from a ring and its servers to the next ring.

Nothing here does I/O, reads a clock or the environment, or draws a random number; what is random is handed in.

    ring      the table and its reading side: lookup, validation, serialisation
    builder   the next ring from the present one: first build, update, split
    plan      what lies between two rings, as values
    quota     how many shards each server must hold
    (members, layout, table, trim, direct, reroute, chain, handoffs, mixing, sealed: their parts)
"""
