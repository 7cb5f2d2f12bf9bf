"""The rules of a call, pure: no I/O, no clock, no chance except as a parameter."""
