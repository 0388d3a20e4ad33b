-- Vectors: how a collection's encoder is opened again, which collections there may be, and which points wait in the queue.

ALTER TABLE collections ADD COLUMN model TEXT NOT NULL DEFAULT '';  -- JSON of whoever made the collection

-- One collection serves, and one (store, fingerprint) is filled once; retired ones are on their way out.
CREATE UNIQUE INDEX collections_serving ON collections (state) WHERE state = 'serving';
CREATE UNIQUE INDEX collections_filled ON collections (store, fingerprint) WHERE state <> 'retired';

-- A pending point whose chunk is shown nowhere needs no vector: it is parked at priority -100, at the end of the queue,
-- until the chunk is shown again or collected. It stays pending, as a batch in hand may bring its vector all the same.
-- Triggers, because a point must follow its cut's mark whoever sets it.
CREATE TRIGGER points_park AFTER UPDATE OF unshown_since ON cuts
WHEN new.unshown_since IS NOT NULL AND old.unshown_since IS NULL
BEGIN
    UPDATE points SET priority = -100
    WHERE collection_id IN (SELECT id FROM collections)
      AND chunk_id IN (SELECT chunk_id FROM chunks WHERE cut_id = new.id)
      AND state = 'pending';
END;
CREATE TRIGGER points_unpark AFTER UPDATE OF unshown_since ON cuts
WHEN new.unshown_since IS NULL AND old.unshown_since IS NOT NULL
BEGIN
    UPDATE points SET priority = 0
    WHERE collection_id IN (SELECT id FROM collections)
      AND chunk_id IN (SELECT chunk_id FROM chunks WHERE cut_id = new.id)
      AND state = 'pending' AND priority = -100;
END;
