"""`astra eval mapping`: maps of generated tours, ordinary and adversarial, judged against the truth that their builder never saw."""
