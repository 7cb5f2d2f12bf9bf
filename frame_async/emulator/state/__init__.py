"""What an emulator knows: sessions, ledger, windows and clock, and how they outlive a restart."""
