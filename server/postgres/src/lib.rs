//! Definitions in PostgreSQL, and the feed of what was committed.
