"""The rehearsal: an emulated AWS, and what deploys to it."""
