"""One file per training stage; they arrive with the learned heads."""
