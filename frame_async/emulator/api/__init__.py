"""Frame's API as the emulator reads it: requests, rules and answers."""
