"""Who reads landmarks and sentences: the embedded models, later a multimodal language model."""
