"""What listens to a run: it is told how training goes, and may show it or write it down."""
