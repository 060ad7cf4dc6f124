"""The learning rate over the steps of a run: schedules as functions, windows of parts, the curve to draw."""
