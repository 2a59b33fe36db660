"""Benchmarks of the studio. Their figures are compared with a baseline and a bound, and no test asserts them."""
