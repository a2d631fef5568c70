"""What both sides read images with: text, place descriptors, local features, sentence embeddings."""
