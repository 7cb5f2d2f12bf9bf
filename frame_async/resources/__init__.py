"""What a client can do, by resource; the same word as in the URL."""
