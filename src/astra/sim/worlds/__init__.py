"""Generated worlds: a plan by rule for each kind, fitted out with furniture, textures and signs, and the truth about it all."""
