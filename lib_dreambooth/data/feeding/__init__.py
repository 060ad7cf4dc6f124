"""From a plan to tensors: batches put together ahead of the step that needs them, in the plan's order."""
