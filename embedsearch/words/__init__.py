"""Word vectors asked, drawn, and indexed where they are many."""
