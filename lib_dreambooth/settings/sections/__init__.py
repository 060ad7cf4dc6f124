"""The sections of a run, one file each; `schema` gathers them."""
