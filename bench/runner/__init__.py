"""What the programs next to the runner cost: their start, idle, and the answers that they give."""
