"""The systems that bench/peers.py measures, each a program of its own: `-m peer_programs NAME`."""
