"""What a sentence about places means: words that name (`mentions`), kinds of place (`concepts`), places of a map (`places`), all together (`resolver`)."""
