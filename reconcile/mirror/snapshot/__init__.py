"""What a snapshot's objects say and which of them are needed: bytes and values in, values out."""
