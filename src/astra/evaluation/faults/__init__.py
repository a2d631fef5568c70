"""What may break, what must happen then, and the judge."""
