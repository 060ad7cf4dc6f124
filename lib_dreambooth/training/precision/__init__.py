"""In how many bits is computed and kept, on which device, and what is given up for memory."""
