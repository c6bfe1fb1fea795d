"""What is seen of the running program: log, traffic, counters."""
