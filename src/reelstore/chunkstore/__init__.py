"""The chunk store: how a chunk becomes shards on a ring of servers, and shards a chunk again."""
