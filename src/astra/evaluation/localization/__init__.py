"""`astra eval localization`: single images at random places of unseen worlds, against the truth and against what others do."""
