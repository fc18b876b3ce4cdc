//! Ingest, log, process, results: from an event to a number that is true.
