"""Storage servers: the places that keep shards, behind one small port."""
