"""The words of the domain as values and rules: no I/O, no clock, no environment, no global randomness."""
