-- How far the holder of a replication slot has published. A slot remembers that too, but forgets the newest of it when the server crashes.
-- made: tells a slot from one of the same name before it, whose positions mean nothing. announced: whether all that was there before the slot
-- has been published.
CREATE TABLE feed_positions (
    slot TEXT PRIMARY KEY, made TEXT NOT NULL, announced BOOLEAN NOT NULL, confirmed_lsn BIGINT NOT NULL
);
