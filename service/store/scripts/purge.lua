-- Remove up to ARGV[2] identities of a deleted lineage ARGV[1]; at last all else that it held.
-- KEYS[2]: lineages that are still to be purged. Returns 1 while there is more, and -1, removing
-- nothing, if it is the gallery's own: of an import whose last step was done although not confirmed.
if lineage == ARGV[1] or shadow == ARGV[1] or originals == ARGV[1] then return -1 end

below = under(ARGV[1])

local gone = redis.call('ZPOPMIN', below .. 'identities', ARGV[2])
for i = 2, #gone, 2 do
  redis.call('UNLINK', identity_key(gone[i]), below .. 'originals:' .. gone[i])
end
if #gone > 0 then return 1 end

local today = math.floor(now() / DAY)
redis.call('UNLINK', below .. 'log', below .. 'cohort', below .. 'rejected', below .. 'staged', below .. 'pending',
  below .. 'left', below .. 'failed',
  below .. 'replies:' .. today, below .. 'replies:' .. (today - 1))
redis.call('SREM', KEYS[2], ARGV[1])
return 0
