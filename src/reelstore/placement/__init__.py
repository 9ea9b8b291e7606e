"""Consistent hashing over a partition table: pure functions from a ring and its servers to the next ring.

Nothing here does I/O, reads a clock or the environment, or draws a random number; what is random is handed in.

What others use:

    ring      the table and its reading side: lookup, validation, serialisation
    builder   the first ring, the next one after a change of servers, the same one split
    plan      what lies between two tables, as values; warnings

What these are made of:

    members   a server as placement sees it; the rule for spreading over zones
    quota     how many shards each server must hold
    layout    the first table
    repair    an update, step by step: draft (the table under change), direct, reroute, chain, settle, handover
    handoffs  who stands in for a primary that is down
    mixing    the hash that breaks ties
    sealed    the serialised form
"""
