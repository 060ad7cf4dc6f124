"""The options of kohya's training scripts, topic by topic."""
