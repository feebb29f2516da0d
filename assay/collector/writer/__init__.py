"""Queue to store: ``python -m assay.collector.writer``.

A block is what the writer stores at once: the records of many queue entries. For every block it

1. decodes, checks and prices, without holding anything;
2. takes the lock that all writers share, asks the store which records it has already, and writes down in
Redis what
   the block is made of (entries, which of their records are new, a token);
3. inserts, table by table, with that token;
4. acknowledges the entries, counts loads, parks what has to wait and removes the note, in one step.

A note that is still there says that a block was begun and not finished. Whoever takes the lock next builds
the same block from the same entries and inserts it again under the same token: what is stored already the
tables drop, rollups included. Between a note and its removal no other block is stored, so the second
building gives what the first gave.
"""
