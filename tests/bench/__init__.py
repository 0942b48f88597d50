"""Benchmarks run as their first lines say; CI runs these tests apart from the others."""
