"""A folder as batches: sources, pictures, captions, buckets, order, cache."""
