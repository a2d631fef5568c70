"""Training, one file a stage; what all stages share is `loop` (steps, checkpoints, resuming) and `surround` (samples to batches)."""
