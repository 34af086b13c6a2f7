"""What the packets of a coded video say of themselves, read without decoding."""
