-- Return what clients sent of samples of an identity, in that order; '' of one that is not kept.
-- ARGV: number of the identity, sample ids.
if not lineage then return unknown_gallery() end
local found = {}
for i = 2, #ARGV do
  found[#found + 1] = originals and redis.call('HGET', originals_key(ARGV[1]), ARGV[i]) or ''
end
return found
