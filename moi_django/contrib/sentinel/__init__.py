"""A Redis of which sentinels say where its primary is."""
