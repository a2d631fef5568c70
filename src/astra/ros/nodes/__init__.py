"""One module per executable; each callback converts in, calls the core, converts out."""
