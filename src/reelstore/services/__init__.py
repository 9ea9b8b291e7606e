"""The use cases: what users and the background ask for, over the metadata and the chunk store."""
