-- A correction is staged whole and swapped in by partition: what was staged for it, and where each partition of it
-- goes. `after_block` is the highest block number of the target's partition before, by which it can be told later
-- whether the partition has arrived.

ALTER TABLE corrections ADD COLUMN IF NOT EXISTS staging String;
ALTER TABLE corrections ADD COLUMN IF NOT EXISTS moves Array(
    Tuple(staging String, database String, table String, partition_id String, after_block Int64)
);
ALTER TABLE corrections DROP COLUMN IF EXISTS chunks;
