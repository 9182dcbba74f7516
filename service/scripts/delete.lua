-- Make a gallery unreachable at once; purge.lua then removes what it held, bit by bit.
-- KEYS[2]: lineages that are still to be purged. Returns the lineage.
if not lineage then return unknown_gallery() end

redis.call('UNLINK', root)
redis.call('SADD', KEYS[2], lineage)
return lineage
