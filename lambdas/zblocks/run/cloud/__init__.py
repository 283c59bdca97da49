"""The deployed state machine, as seen from here."""
