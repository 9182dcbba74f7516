-- Make a gallery unreachable at once; purge.lua then removes what it held, bit by bit.
-- KEYS[2]: lineages that are still to be purged. Returns those that it had.
if not lineage then return unknown_gallery() end

local held = {lineage}
if shadow then held[#held + 1] = shadow end
if originals then held[#held + 1] = originals end
drop_edits()
redis.call('UNLINK', root, migration)
redis.call('SADD', KEYS[2], unpack(held))
return held
