"""Where digits come from: fetched, drawn, or read from a picture."""
