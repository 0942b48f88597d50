"""Tests with real batch systems, ssh and MPI on this machine: `make test-clusters`, as root."""
