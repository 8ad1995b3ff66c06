-- Deleting a queue, a worker type or a project used to mark workers as stopping that no shim had been started for. Nothing
-- starts or ends such a row, and it counts as a live worker: it held its slot for good.
UPDATE worker
   SET state = 'stopped',
       stopped_at = CAST(unixepoch('subsec') * 1000 AS INTEGER),
       stop_reason = 'it was told to stop before it was launched'
 WHERE state = 'stopping' AND launched_at IS NULL;
