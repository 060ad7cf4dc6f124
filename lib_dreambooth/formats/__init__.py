"""Files to tensors and back: containers, detection, key maps, checkpoints, LoRA, embeddings, metadata."""
