"""What every package may use: errors with a next step, atomic files, durations, the Host protocol."""
